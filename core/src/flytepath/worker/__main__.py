"""``python -m flytepath.worker --messages FD`` beside an engine, ``--attempt URI`` elsewhere."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    if "--messages" in sys.argv:
        from flytepath.worker.serving import main as serve

        serve()
    else:
        from flytepath.worker.remote import leave, main

        leave(main(sys.argv[1:]))
