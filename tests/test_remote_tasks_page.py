"""The page about remote tasks: its programs run, one after the other, against the vendor of the tests."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packages import ROOT

sys.path.insert(0, str(ROOT / "core" / "tests" / "authoring"))

from flytepath.authoring.settings import SETTING_NAMES
from remote_vendor import vendor_installed

PAGE = (ROOT / "docs" / "remote-tasks.md").read_text(encoding="utf-8")


def test_the_programs_on_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
    with vendor_installed(tmp_path, monkeypatch) as (vendor, fakes):
        fakes.configure(f'[backends.vendor]\nurl = "{vendor.url}"\n[pools.matlab]\nlimit = 4\n')
        names: dict[str, Any] = {"__name__": "remote_tasks_page"}
        exec(compile(program, "remote-tasks.md", "exec"), names)
        assert len(vendor.jobs()) == 4
        assert not vendor.live()


def test_the_settings_of_the_page_exist() -> None:
    table = PAGE[PAGE.index("| setting |") :].partition("\n\n")[0]
    named = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)", line.split("|")[1])}
    assert named >= {"pools", "detach", "idempotent"}
    assert named <= SETTING_NAMES
