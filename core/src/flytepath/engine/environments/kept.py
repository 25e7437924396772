"""The environments a home holds: where each lies, what its card says, and how it is removed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

from flytepath.engine.environments.building import scratch_of
from flytepath.engine.environments.locks import FileLock
from flytepath.errors import ExecutionStateError
from flytepath.store.disk import sync_folder

#: Written last: an environment without it is one whose making was cut short.
CARD: Final = "flytepath.json"
_DIGEST_LENGTH: Final = 24


class EnvironmentInUseError(ExecutionStateError):
    """An environment is being made, or tasks run in it, so it cannot be removed."""

    code = "FP-ENVIRONMENT-IN-USE"


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of an environment that is ready.

    Args:
        digest: its name.
        asked: what was asked for, for people.
        python, flytepath, tool: what it was made with.
        packages: the distributions it has of its own, with their versions.
        created_at, seconds: when it was made, and how long that took.
    """

    digest: str
    asked: str
    python: str
    flytepath: str
    tool: str
    created_at: float
    seconds: float
    packages: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Put it into the environment, whole or not at all."""
        draft = folder / f".{CARD}.new"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / CARD)
        sync_folder(folder)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The card of an environment; ``None`` where it has none that can be read."""
        try:
            return cls(**json.loads((folder / CARD).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Kept:
    """An environment as it lies there. ``used_at`` is when a process last began to use it."""

    digest: str
    folder: Path
    state: Literal["ready", "building", "broken", "failed"]
    card: Card | None = None
    used_at: float | None = None

    def size(self) -> int:
        """The bytes of its files; links to what lies elsewhere count nothing."""
        found = (Path(parent) / name for parent, _, names in os.walk(self.folder) for name in names)
        return sum(path.lstat().st_size for path in found if not path.is_symlink())


@dataclass(frozen=True, slots=True)
class Shelf:
    """The folder of a home that holds its environments."""

    root: Path

    @classmethod
    def of(cls, home: Path) -> Self:
        """The one of ``home``."""
        return cls(home / "environments")

    def folder(self, digest: str) -> Path:
        """Where an environment lies."""
        return self.root / digest

    def log(self, digest: str) -> Path:
        """Where the log lies of making it: while it is made, and kept where that failed."""
        return self.root / f"{digest}.log"

    def python(self, digest: str) -> Path:
        """Its interpreter."""
        return self.folder(digest) / "bin" / "python"

    def build_lock(self, digest: str) -> FileLock:
        """Held by who makes or removes it."""
        return FileLock(self.root / "locks" / f"{digest}.build")

    def use_lock(self, digest: str) -> FileLock:
        """Held, together, by all who use it."""
        return FileLock(self.root / "locks" / f"{digest}.used")

    def is_ready(self, digest: str) -> bool:
        """Whether it was made to the end, and its Python is still there."""
        return (self.folder(digest) / CARD).exists() and self.python(digest).exists()

    def mark_used(self, digest: str) -> None:
        """Remember that somebody begins to use it."""
        os.utime(self.root / "locks" / f"{digest}.used")

    def clear(self, digest: str) -> None:
        """Remove its files. Only for who holds the build lock."""
        folder = self.folder(digest)
        (folder / CARD).unlink(missing_ok=True)  # first: what is half gone must not look whole
        for path in (folder, scratch_of(folder)):
            if path.exists():
                shutil.rmtree(path)

    def remove(self, digest: str) -> None:
        """Remove an environment and its log.

        Raises:
            EnvironmentInUseError: it is being made, or used.
        """
        build, use = self.build_lock(digest), self.use_lock(digest)
        try:
            if not build.try_alone():
                raise EnvironmentInUseError(
                    "this environment is being made", place=digest, actual=build.holder(), hint="try again later"
                )
            if not use.try_alone():
                raise EnvironmentInUseError(
                    "tasks run in this environment, or may at any moment",
                    place=digest,
                    hint="end the engines and runs that use it first",
                )
            self.clear(digest)
            self.log(digest).unlink(missing_ok=True)
        finally:
            build.close()
            use.close()

    def sweep(self) -> list[str]:
        """Remove what is left of environments whose making was cut short; their digests."""
        swept = []
        for digest in self._digests():
            if self.folder(digest).exists() and (self.folder(digest) / CARD).exists():
                continue
            if not self.folder(digest).exists() and not scratch_of(self.folder(digest)).exists():
                continue
            lock = self.build_lock(digest)
            try:
                if lock.try_alone() and not (self.folder(digest) / CARD).exists():
                    self.clear(digest)
                    swept.append(digest)
            finally:
                lock.close()
        return swept

    def all(self) -> list[Kept]:
        """All there are, the one used last first."""
        return sorted((self._kept(digest) for digest in self._digests()), key=lambda kept: -(kept.used_at or 0.0))

    def _kept(self, digest: str) -> Kept:
        folder = self.folder(digest)
        card = Card.read(folder)
        try:
            used_at: float | None = (self.root / "locks" / f"{digest}.used").stat().st_mtime
        except OSError:
            used_at = None if card is None else card.created_at
        if card is not None:
            return Kept(digest, folder, "ready" if self.is_ready(digest) else "broken", card, used_at)
        lock = self.build_lock(digest)
        try:
            free = lock.try_alone()
        finally:
            lock.close()
        state: Literal["broken", "failed"] = "broken" if folder.exists() else "failed"
        return Kept(digest, folder, state if free else "building", None, used_at)

    def _digests(self) -> list[str]:
        return sorted(set(self._names()))

    def _names(self) -> Iterator[str]:
        if not self.root.is_dir():
            return
        for path in self.root.iterdir():
            name = path.name.partition(".")[0]
            if len(name) == _DIGEST_LENGTH and path.suffix in ("", ".log", ".build"):
                yield name
