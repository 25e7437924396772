"""Error codes are stable and documented: docs/errors.md lists every one, with the words of the class itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import flytepath
from flytepath.errors import FlytePathError

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"


def error_classes(base: type[FlytePathError] = FlytePathError) -> Iterator[type[FlytePathError]]:
    yield base
    for child in base.__subclasses__():
        yield from error_classes(child)


def core_errors() -> dict[str, type[FlytePathError]]:
    """Every error class core defines that has a code of its own."""
    for module in pkgutil.walk_packages(flytepath.__path__, "flytepath."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = dict.fromkeys(error_classes())
    ours = [kind for kind in found if kind.__module__.startswith("flytepath.") and "code" in vars(kind)]
    repeated = [code for code, times in Counter(kind.code for kind in ours).items() if times > 1]
    assert not repeated, f"two errors share a code: {repeated}"
    return {kind.code: kind for kind in ours}


def row(kind: type[FlytePathError]) -> str:
    meaning = (kind.__doc__ or "").strip().splitlines()[0].replace("``", "`").replace("|", "\\|")
    return f"| `{kind.code}` | `{kind.__name__}` | {kind.exit_status} | {meaning} |"


def test_the_page_lists_every_code_as_the_code_has_it() -> None:
    documented = {line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `FP-")}
    existing = {row(kind) for kind in core_errors().values()}
    missing = "\n".join(sorted(existing - documented))
    stale = "\n".join(sorted(documented - existing))
    assert documented == existing, f"docs/errors.md should have\n{missing}\nand not\n{stale}"


def test_every_code_is_a_word_of_the_family() -> None:
    for code, kind in core_errors().items():
        assert code.startswith("FP-"), kind
        assert code == code.upper(), kind
        assert kind.exit_status in {1, 2}, kind
