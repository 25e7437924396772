"""The programs on the page about types run."""

from __future__ import annotations

import re
import sys
import types

import pytest
from packages import ROOT

PAGE = (ROOT / "docs" / "types.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_of_the_page_runs(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType(f"types_page_{number}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(PROGRAMS[number], f"docs/types.md, program {number}", "exec"), vars(module))


def test_the_page_has_programs() -> None:
    assert len(PROGRAMS) >= 4
