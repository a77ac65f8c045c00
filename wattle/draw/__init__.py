"""Static pictures: the graph of a workflow and the timeline of a run, as SVG, PNG or PDF.

Both are drawn from the JSON forms of `replies.Graph` and `replies.Timeline`, so a picture shows what any door answers,
and the same answer gives the same picture. Importing this is slow (networkx and matplotlib): callers import it when
somebody asks for a picture.
"""

from wattle.draw.graph import draw_graph
from wattle.draw.timeline import draw_timeline

__all__ = ["draw_graph", "draw_timeline"]
