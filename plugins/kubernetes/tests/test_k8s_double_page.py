"""The page about testing on Kubernetes shows what works, and the doubles cost nothing where they are not used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "testing-on-kubernetes.md"


def run(*arguments: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tests_on_the_page_pass(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert [name for name, _ in blocks] == ["conftest.py", "test_greeting.py"]
    for name, text in blocks:
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert "2 passed" in run("-W", "error", "-m", "pytest", "-p", "no:cacheprovider", "-k", "double", folder=tmp_path)


def test_the_package_serves_as_a_plugin_of_pytest(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["flyte_plugin_kubernetes.testing"]\n', encoding="utf-8")
    text = "def test_it(api_server):\n    assert api_server.core().list_namespace().items\n"
    (tmp_path / "test_it.py").write_text(text, encoding="utf-8")
    assert "1 passed" in run("-W", "error", "-m", "pytest", "-p", "no:cacheprovider", folder=tmp_path)


def test_the_plugin_does_not_import_its_doubles(tmp_path: Path) -> None:
    script = (
        "import sys, flyte_plugin_kubernetes, flyte_plugin_kubernetes.plugin\n"
        "print([name for name in sys.modules if 'testing' in name and 'flyte_plugin' in name])"
    )
    assert run("-c", script, folder=tmp_path).strip() == "[]"
