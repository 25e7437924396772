"""``python -m flytepath.worker --messages FD``."""

from __future__ import annotations

from flytepath.worker.serving import main

if __name__ == "__main__":
    main()
