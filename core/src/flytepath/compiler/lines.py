"""Lines of code as they are recorded: the same on every machine, so that equal code compiles to equal specs."""

from __future__ import annotations

import os
import sys
from pathlib import Path


class Lines:
    """Lines below the folders that Python imports from; what lies elsewhere is known by its file's name alone.

    Example:
        >>> import os
        >>> Lines()(f"{os.sep}nowhere{os.sep}on the path{os.sep}flow.py:3")
        'flow.py:3'
    """

    def __init__(self) -> None:
        roots = {f"{Path(entry).absolute()}{os.sep}" for entry in sys.path}
        self._roots = sorted(roots, key=len, reverse=True)
        self._known: dict[str, str] = {"": ""}

    def __call__(self, line: str) -> str:
        """``file:line`` with the file relative to the folder it would be imported from."""
        file, _, number = line.rpartition(":")
        known = self._known.get(file)
        if known is None:
            root = next((root for root in self._roots if file.startswith(root) and root != os.sep), None)
            known = Path(file).name if root is None else Path(file[len(root) :]).as_posix()
            self._known[file] = known
        return f"{known}:{number}" if known else line
