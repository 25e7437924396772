"""A folder of small installed plugins, as many as asked for, with manifests like real ones."""

from __future__ import annotations

from pathlib import Path

_MANIFEST = '''"""The manifest of a plugin that exists to be counted."""

from flytepath.plugin import TaskTypeDeclaration, hookimpl


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    return [
        TaskTypeDeclaration(
            name="{name}", config="{package}.task:Config", task_type="{package}.task:Type"
        )
    ]
'''


def install(folder: Path, count: int) -> list[str]:
    """Write ``count`` plugins below ``folder``, which then belongs on PYTHONPATH; the modules of their manifests."""
    manifests = []
    for number in range(count):
        name, package = f"fake{number}", f"flyte_plugin_fake{number}"
        source = folder / package
        source.mkdir(parents=True)
        (source / "__init__.py").write_text("")
        (source / "plugin.py").write_text(_MANIFEST.format(name=name, package=package))
        info = folder / f"{package}-1.0.dist-info"
        info.mkdir()
        metadata = (
            f"Metadata-Version: 2.1\nName: flyte-plugin-{name}\nVersion: 1.0\nRequires-Dist: flytepath>=0.1,<1.0\n"
        )
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(f"[flytepath.v1]\n{name} = {package}.plugin\n")
        (info / "RECORD").write_text("")
        manifests.append(f"{package}.plugin")
    return manifests
