"""The programs of the page about the Python API run, and give what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from packages import ROOT


def programs() -> list[str]:
    page = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def script(folder: Path, name: str, source: str) -> str:
    (folder / name).write_text(source, encoding="utf-8")
    environment = {**os.environ, "FLYTEPATH_HOME": str(folder / "home")}
    done = subprocess.run(
        [sys.executable, name], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_program_gives_what_the_page_says(tmp_path: Path) -> None:
    assert script(tmp_path, "first.py", programs()[0]) == "succeeded 16\n"


def test_many_executions_are_awaited_as_the_page_shows(tmp_path: Path) -> None:
    [program] = [each for each in programs() if "AsyncFlytePath" in each]
    (tmp_path / "first.py").write_text(programs()[0], encoding="utf-8")
    source = (
        f"from first import pipeline\n{program}\nif __name__ == '__main__':\n    print(asyncio.run(every([1, 2])))\n"
    )
    assert script(tmp_path, "many.py", source.replace("from __future__ import annotations\n", "")) == "[4, 8]\n"
