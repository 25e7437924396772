"""``python -m flytepath``: the command line."""

import sys
from pathlib import Path

from flytepath.cli import main

if __name__ == "__main__":
    # `-m` puts the current folder first; the installed command does not. What runs must not depend on which was typed.
    if sys.path and Path(sys.path[0]).resolve() == Path.cwd():
        sys.path.pop(0)
    main()
