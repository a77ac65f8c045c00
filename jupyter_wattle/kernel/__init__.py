"""The kernel's side of Wattle: what the magics and the views are made of. No IPython, and nothing of the server."""
