"""``python -m flytepath``: the command line."""

from flytepath.cli import main

if __name__ == "__main__":
    main()
