"""`python -m jupyter_wattle`: a Wattle server that stands alone (`wattle serve`)."""

import sys

if __name__ == "__main__":
    # jsonschema, which Jupyter Server imports, compiles the grammars of international web addresses at import when
    # this package is there: a second of every start (jupyter_server#1559) for a format that no Jupyter schema uses.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    from jupyter_wattle.app import main

    main()
