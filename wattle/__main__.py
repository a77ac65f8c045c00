"""`python -m wattle`."""

import sys

from wattle.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
