"""What plain ``tox`` cannot say in tox.ini: where pyenv keeps interpreters, and how many environments run at once.

tox loads this file by its name, before it reads its options, so a developer types ``tox`` and nothing else.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tox.config.cli.parser import ToxParser
from tox.plugin import impl

_AT_ONCE = "2"
_CPYTHON = re.compile(r"3\.(1[1-9])\.(\d+)")


def pyenv_selection(versions: Path, running: str) -> str:
    """The value of PYENV_VERSION that lets every shim answer: the newest patch release of each Python, ours first.

    pyenv's shims for ``python3.12`` refuse to run unless that version is selected, even though it is installed.

    Example:
        >>> pyenv_selection(Path("no-such-folder"), "3.11.7")
        ''
    """
    newest: dict[int, int] = {}
    for folder in versions.iterdir() if versions.is_dir() else ():
        if found := _CPYTHON.fullmatch(folder.name):
            minor, patch = int(found[1]), int(found[2])
            newest[minor] = max(patch, newest.get(minor, patch))
    names = [f"3.{minor}.{patch}" for minor, patch in sorted(newest.items())]
    if (versions / running).is_dir():
        names = [running, *(name for name in names if name.rpartition(".")[0] != running.rpartition(".")[0])]
    return ":".join(names)


@impl(tryfirst=True)
def tox_add_option(parser: ToxParser) -> None:
    """Set the defaults that tox takes only from its environment; a value the caller set wins."""
    del parser
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    if selection := pyenv_selection(root / "versions", ".".join(map(str, sys.version_info[:3]))):
        os.environ.setdefault("PYENV_VERSION", selection)
    # A mirror that pip was told about serves uv as well.
    if mirror := os.environ.get("PIP_INDEX_URL"):
        os.environ.setdefault("UV_DEFAULT_INDEX", mirror)
    # An interpreter that is not here is skipped, not downloaded.
    os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")
    # `tox -e one` keeps its output on the terminal; only the whole round runs side by side.
    if len(sys.argv) == 1:
        os.environ.setdefault("TOX_PARALLEL", _AT_ONCE)
