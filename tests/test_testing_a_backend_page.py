"""The page about testing a backend: its adapter runs, and its tables have every method and attribute there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from flytepath.testing.backend_conformance import BackendConformance, BackendVendor
from packages import ROOT

PAGE = (ROOT / "docs" / "testing-a-backend.md").read_text(encoding="utf-8")


def test_the_adapter_on_the_page_runs_and_what_it_leaves_out_is_named(tmp_path: Path) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "test_vendor.py").write_text(program, encoding="utf-8")
    # The reference backend's own tests have all of them; here it is the program on the page that is tried.
    some = "names or submi or cancelling or foreign or poison or lost or secret"
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-k", some, "test_vendor.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    passed, skipped = (int(found) for found in re.findall(r"(\d+) (?:passed|skipped)", done.stdout))
    assert passed >= 15
    assert skipped >= 4
    assert "Vendor.poison is not given" in done.stdout


def test_the_page_has_every_method_of_an_adapter_and_every_attribute_of_the_checks() -> None:
    methods = {name for name in vars(BackendVendor) if not name.startswith("_") and name != "task_type"}
    assert not {name for name in methods if f"`{name}(" not in PAGE and f" `{name}(" not in PAGE}
    for name in ("name_pattern", "patience_seconds", "crowd", "scattered_errors"):
        default = getattr(BackendConformance, name)
        assert f"| `{name}` | {default:g} |" in PAGE if isinstance(default, int | float) else f"`{name}`" in PAGE
