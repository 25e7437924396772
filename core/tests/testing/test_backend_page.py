"""The page about writing a backend: its programs run, one after the other, and its excerpts are from the reference."""

from __future__ import annotations

import re
from pathlib import Path

import flytepath.testing
import pytest
from flytepath.plugin import BackendDeclaration
from flytepath.testing.fake_vendor import FaultKind
from flytepath.testing.reference_job_manifest import flytepath_backends

PAGE = Path(__file__).parents[3] / "docs" / "writing-a-backend.md"
FOLDER = Path(flytepath.testing.__file__).parent
REFERENCE = [path.read_text(encoding="utf-8") for path in FOLDER.glob("reference_*.py")]

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not part of the source distribution")


def programs() -> list[str]:
    """Each after as many empty lines as stand before it on the page, so that errors name the right line."""
    page = PAGE.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return ["\n" * page.count("\n", 0, match.start(1)) + match[1] for match in found]


def is_excerpt(program: str) -> bool:
    return any(program.strip("\n") in source for source in REFERENCE)


def test_the_programs_of_the_page_run_and_its_excerpts_are_true() -> None:
    written: dict[str, object] = {}
    found = programs()
    assert sum(map(is_excerpt, found)) == 2
    for program in found:
        if not is_excerpt(program):
            exec(compile(program, str(PAGE), "exec"), written)
    declared = written["declaration"]
    assert isinstance(declared, BackendDeclaration)
    [real] = flytepath_backends()
    assert (declared.name, declared.idempotency, declared.pools) == (real.name, real.idempotency, real.pools)


def test_every_fault_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert not [kind.value for kind in FaultKind if f"`{kind.value}`" not in page]
