"""The programs on the pages about workflows and settings run, one after the other, as one module."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
from packages import ROOT

PAGES = ["README.md", "docs/writing-workflows.md", "docs/running.md", "docs/settings.md"]


@pytest.mark.parametrize("page", PAGES)
def test_the_programs_of_the_page_run(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLYTEPATH_HOME", str(tmp_path))
    text = (ROOT / page).read_text(encoding="utf-8")
    module = types.ModuleType(Path(page).stem.replace("-", "_").lower())
    monkeypatch.setitem(sys.modules, module.__name__, module)
    programs = list(re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    assert programs
    for program in programs:
        lines = "\n" * text.count("\n", 0, program.start(1))  # so that an error names the page's own line
        exec(compile(lines + program[1], page, "exec"), vars(module))
