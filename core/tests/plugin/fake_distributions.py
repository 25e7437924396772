"""Tiny distributions written to disk: a dist-info folder and a manifest module, as an installer would leave them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

HEADER = "from flytepath.plugin import *\nfrom flytepath.plugin import hookimpl\n"


def task_type(name: str, package: str = "") -> str:
    """A manifest that declares one task type."""
    package = package or f"flyte_plugin_{name}"
    return f'''
        @hookimpl
        def flytepath_task_types():
            return [TaskTypeDeclaration(name="{name}", task_type="{package}.task:Type", config="{package}.task:Config")]
    '''


def transformer(python_type: str, package: str, match: str = "exact") -> str:
    """A manifest that declares a transformer of one Python type."""
    return f'''
        @hookimpl
        def flytepath_transformers():
            return [TransformerDeclaration(
                python_types=("{python_type}",), transformer="{package}.types:T", format="f", match="{match}")]
    '''


class Distributions:
    """A folder that belongs on ``PYTHONPATH``, in which distributions are installed, upgraded and removed."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.home = home
        self.work = folder.parent / "work"
        for path in (folder, self.work):
            path.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        name: str,
        manifest: str = "",
        *,
        distribution: str = "",
        package: str = "",
        version: str = "1.0",
        group: str = "flytepath.v1",
        requires: tuple[str, ...] = (),
        entries: dict[str, str] | None = None,
    ) -> Path:
        """Install a plugin; another version of it is replaced. Returns the manifest's path."""
        distribution = distribution or f"flyte-plugin-{name}"
        package = package or distribution.replace("-", "_")
        self.remove(distribution, package)
        source = self.folder / package
        source.mkdir()
        (source / "__init__.py").write_text("")
        path = source / "plugin.py"
        path.write_text(HEADER + textwrap.dedent(manifest or task_type(name, package)))
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        points = entries or {name: f"{package}.plugin"}
        text = "".join(f"{key} = {value}\n" for key, value in points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{text}")
        return path

    def remove(self, distribution: str, package: str = "") -> None:
        """Uninstall whatever version is there."""
        stem = distribution.replace("-", "_")
        for path in (*self.folder.glob(f"{stem}-*.dist-info"), self.folder / (package or stem)):
            if path.exists():
                shutil.rmtree(path)

    def configure(self, text: str) -> Path:
        """Write the ``flytepath.toml`` of the folder that commands are run in."""
        path = self.work / "flytepath.toml"
        path.write_text(textwrap.dedent(text))
        return path

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment of a process that sees these distributions."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("FLYTEPATH_")}
        python_path = os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH", "")]))
        return {**inherited, "PYTHONPATH": python_path, "FLYTEPATH_HOME": str(self.home), **variables}

    def run(self, code: str, **variables: str) -> Any:
        """Run ``code`` in another interpreter; what it assigns to ``answer`` comes back through JSON."""
        answer = self.folder.parent / f"answer-{os.urandom(4).hex()}.json"
        program = (
            "from flytepath.plugin.manager import PluginManager, current\nimport json, sys\n"
            + textwrap.dedent(code)
            + f"\nopen({str(answer)!r}, 'w').write(json.dumps(answer))\n"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            env=self.environment(**variables),
            cwd=self.work,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert not done.stdout, done.stdout
        return json.loads(answer.read_text())

    def states(self, **variables: str) -> dict[str, list[str]]:
        """``name -> [state, cause, hint]`` of every plugin but core."""
        code = """
            answer = {r.name: [r.state, r.cause, r.hint] for r in PluginManager.load().plugins if r.name != "flytepath"}
        """
        return dict(self.run(code, **variables))
