"""Made-up libraries as wheels, written by hand, so that nothing needs an index."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path


class Wheels:
    """A folder of wheels that installers can be pointed at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def arguments(self) -> str:
        """For an installer: look here and nowhere else."""
        return f"--no-index --find-links {self.folder}"

    def add(
        self,
        name: str,
        version: str = "1.0",
        files: dict[str, str] | None = None,
        *,
        requires: Sequence[str] = (),
        entry_points: str = "",
    ) -> Path:
        """Write a wheel; by default one module that knows its version."""
        module = name.replace("-", "_")
        info = f"{module}-{version}.dist-info"
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        written = dict(files if files is not None else {f"{module}.py": f"VERSION = {version!r}\n"})
        written[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        written[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        if entry_points:
            written[f"{info}/entry_points.txt"] = entry_points
        record = "".join(f"{path},{_digest(text)},{len(text.encode())}\n" for path, text in written.items())
        written[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
        path = self.folder / f"{module}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for place, text in written.items():
                archive.writestr(place, text)
        return path


def unpacked(wheel: Path, folder: Path) -> Path:
    """``folder`` with a wheel installed in it."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
