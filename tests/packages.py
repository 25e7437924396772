"""The distributions of this repository, as the tests across packages see them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = sorted(folder.parent.name for folder in (ROOT / "plugins").glob("*/pyproject.toml"))


@dataclass(frozen=True, slots=True)
class Package:
    """One distribution of this repository."""

    folder: Path

    @property
    def project(self) -> dict[str, Any]:
        settings = tomllib.loads((self.folder / "pyproject.toml").read_text(encoding="utf-8"))
        project: dict[str, Any] = settings["project"]
        return project

    @property
    def import_name(self) -> str:
        return str(self.project["name"]).replace("-", "_")


PACKAGES = [Package(ROOT / "core"), *(Package(ROOT / "plugins" / name) for name in PLUGINS)]
