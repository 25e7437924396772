"""Plugins on disk, as pip would leave them, with one rule broken at a time."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flytepath.testing import BackendConformance, PluginConformance
from kit_sources import MANIFEST, README, TASK, TYPES

_counter = itertools.count()


@pytest.fixture(autouse=True, scope="session")
def fewer_scattered_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """As many as the kit asks for by itself are left to the long tier."""
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("markexpr") != "proof or not proof":
            patch.setattr(BackendConformance, "scattered_errors", 150)
        yield


@dataclass
class FakePlugin:
    """An installed plugin and the kit's checks for it."""

    folder: Path
    package: str
    checks: PluginConformance


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakePlugin]:
    """Install a plugin; every argument replaces a part of one that is right."""

    def install(
        *,
        manifest: str = MANIFEST,
        task: str = TASK,
        types: str = TYPES,
        requires: tuple[str, ...] = ("flytepath>=0.1,<2",),
        readme: str = README,
        typed: bool = True,
        group: str = "flytepath.v1",
        more_entries: tuple[str, ...] = (),
        files: dict[str, str] | None = None,
    ) -> FakePlugin:
        package = f"kit_sample_{next(_counter)}"
        site = tmp_path / "site"
        folder = site / package
        folder.mkdir(parents=True)
        sources = {"__init__.py": "", "plugin.py": manifest, "task.py": task, "types.py": types, **(files or {})}
        for name, text in sources.items():
            (folder / name).write_text(textwrap.dedent(text).replace("{package}", package))
        if typed:
            (folder / "py.typed").touch()
        metadata = site / f"{package}-1.0.dist-info"
        metadata.mkdir()
        header = ["Metadata-Version: 2.3", f"Name: {package}", "Version: 1.0"]
        header += [f"Requires-Dist: {item}" for item in requires]
        (metadata / "METADATA").write_text("\n".join(header) + "\n\n" + readme)
        entries = [f"{package} = {package}.plugin", *more_entries]
        (metadata / "entry_points.txt").write_text(f"[{group}]\n" + "\n".join(entries) + "\n")
        monkeypatch.syspath_prepend(str(site))

        class Checks(PluginConformance):
            plugin = package

        return FakePlugin(folder, package, Checks())

    return install
