"""Makes one environment: empty at first, then what the task asks for, links to flytepath, and a look at whether
it works.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import flytepath
from flytepath.engine.environments.asked import CORE, ENGINE_MINOR, Asked, parse
from flytepath.engine.environments.failures import EnvironmentBuildError, diagnosed, last_lines, redacted
from flytepath.engine.environments.interpreters import interpreter
from flytepath.engine.environments.linking import check_fit, installed_in, link, misfit, needed
from flytepath.engine.environments.tools import Installer, ToolFailed, find_uv, run

if TYPE_CHECKING:
    from flytepath.engine.environments.linking import Linked

#: Where in an environment the links to the engine's packages lie.
LINKS: Final = "engine"
_STARTS: Final = "import flytepath.worker, flytepath; print('flytepath', flytepath.__version__)"


@dataclass(slots=True)
class Build:
    """The making of one environment in ``folder``, which does not exist yet.

    Args:
        asked: what it contains.
        linked: flytepath and what it requires, of the engine's.
        folder: where it is to be: environments cannot be moved.
        log_path, log: takes what the tools print.
        lock: the descriptor of the lock that guards ``folder``.
    """

    asked: Asked
    linked: Mapping[str, Linked]
    tool: Installer
    folder: Path
    log_path: Path
    log: TextIO
    lock: int

    @property
    def python(self) -> Path:
        """The interpreter that the environment gets."""
        return self.folder / "bin" / "python"

    @property
    def place(self) -> str:
        """Whose environment it is, for errors."""
        return f"ImageSpec: {self.asked}"

    @property
    def scratch(self) -> Path:
        """A folder for the files that the installer reads."""
        return scratch_of(self.folder)

    async def make(self) -> dict[str, str]:
        """Make it; the distributions it has of its own, with their versions.

        Raises:
            EnvironmentBuildError: it cannot be made.
            EnvironmentUnavailableError: it could not be made this time.
        """
        self._check_pins()
        self.scratch.mkdir()
        base = await interpreter(self.asked.python, find_uv())
        await self._step(self.tool.create(base, self.folder))
        site = self._site()
        with _standing_in(site):
            await self._install()
            own = installed_in(site)
            if own.get(CORE) != flytepath.__version__ or (site / CORE).exists():
                raise EnvironmentBuildError(
                    "something the task asks for brought another flytepath along",
                    place=self.place,
                    expected=f"the engine's own, {flytepath.__version__}",
                    actual=own.get(CORE),
                )
        own = {name: version for name, version in own.items() if name != CORE}
        check_fit(self._checked(), own, self.place)
        # Of another Python the engine's libraries are of no use: there the installer has brought what they require.
        chosen = self.linked if self._shares_python else self._pure()
        link(chosen, own, self.folder / LINKS, site)
        await self._look(site, own)
        shutil.rmtree(self.scratch)
        return own

    @property
    def _shares_python(self) -> bool:
        return self.asked.minor == ENGINE_MINOR

    def _roots(self) -> Iterator[Linked]:
        yield self.linked[CORE]
        if self.asked.plugin and self.asked.plugin in self.linked:
            yield self.linked[self.asked.plugin]

    def _pure(self) -> dict[str, Linked]:
        """flytepath, and the plugin if it is plain Python."""
        return {one.name: one for one in self._roots() if one.name == CORE or _is_pure(one)}

    def _checked(self) -> Mapping[str, Linked]:
        return self.linked if self._shares_python else {one.name: one for one in self._roots()}

    def _site(self) -> Path:
        for path in sorted(self.folder.glob("lib/python3*/site-packages")):
            return path
        raise EnvironmentBuildError(
            f"{self.tool.name} made no environment", place=str(self.folder), expected="lib/python3.*/site-packages"
        )

    async def _step(self, command: list[str]) -> None:
        try:
            await run(
                command,
                folder=self.folder.parent,
                log=self.log,
                variables=self.tool.variables(self.asked),
                keep_open=self.lock,
            )
        except ToolFailed as error:
            raise diagnosed(
                error.output,
                self.asked.lines(),
                place=self.place,
                expected=None,
                actual=f"{last_lines(error.output)}\n    the whole log: {self.log_path}",
            ) from error

    async def _install(self) -> None:
        versions = needed(self.linked)
        if self._shares_python:
            if self.asked.lines():
                await self._step(self._filling(self.asked.lines(), _constraints(versions)))
            return
        lines = [*self.asked.lines(), *self._requirements_of_roots()]
        mine = self.asked.names()
        pins = {one.name: f"=={one.version}" for one in self.linked.values() if one.name not in mine}
        try:
            await self._step(self._filling(lines, _constraints({**versions, **pins})))
        except EnvironmentBuildError as error:
            # The engine's very versions may not exist for that Python, or not beside what the task asks for.
            if error.kind == "system":
                raise
            await self._step(self._filling(lines, _constraints(versions)))

    def _requirements_of_roots(self) -> Iterator[str]:
        for one in self._roots():
            for line in one.distribution.requires or ():
                parsed = parse(line)
                if parsed is not None and parsed.name != CORE and "extra ==" not in line:
                    yield line
            if one.name != CORE and not _is_pure(one):
                yield f"{one.name}=={one.version}"

    def _filling(self, lines: Iterable[str], constraints: list[str]) -> list[str]:
        """The command that installs ``lines``, which it reads from files: some are too long for a command line."""
        wanted, bounds = self.scratch / "requirements.txt", self.scratch / "constraints.txt"
        wanted.write_text("\n".join([*lines, ""]), encoding="utf-8")
        theirs = self.asked.constraints.splitlines()
        bounds.write_text("\n".join([*constraints, *theirs, ""]), encoding="utf-8")
        for path in (wanted, bounds):
            self.log.write(f"--- {path.name}\n{redacted(path.read_text(encoding='utf-8'))}")
        return self.tool.install(self.python, ["-r", str(wanted), "-c", str(bounds)], self.asked)

    def _check_pins(self) -> None:
        """An exact version that flytepath cannot work with is told at once, before anything is fetched."""
        for line in self.asked.lines():
            parsed = parse(line)
            if parsed is None or (parsed.requirement.marker is not None and not parsed.requirement.marker.evaluate()):
                continue
            pins = [part.version for part in parsed.requirement.specifier if part.operator in ("==", "===")]
            for version in (pin for pin in pins if not pin.endswith(".*")):
                check_fit(self.linked, {parsed.name: version}, self.place)

    async def _look(self, site: Path, own: Mapping[str, str]) -> None:
        """Start as a worker will: what is broken, or shadowed without a word, is told here and not at every attempt."""
        try:
            await run([str(self.python), "-P", "-c", _STARTS], folder=self.scratch, log=self.log, keep_open=self.lock)
        except ToolFailed as error:
            shadowing = sorted(
                path.name for path in (self.folder / LINKS).iterdir() if (site / path.name).exists()
            ) if (self.folder / LINKS).is_dir() else []  # fmt: skip
            if shadowing:
                raise misfit(
                    ", ".join(shadowing), f"{CORE} {flytepath.__version__}", "the engine's own", self.place
                ) from error
            raise EnvironmentBuildError(
                "the environment cannot be used: no worker starts in it",
                place=self.place,
                actual=f"{last_lines(error.output)}\n    the whole log: {self.log_path}",
                hint="something the task asks for does not work with flytepath, or is broken itself: "
                + (", ".join(f"{name} {version}" for name, version in own.items()) or "nothing"),
            ) from error


def scratch_of(folder: Path) -> Path:
    """The folder beside an environment that is used while it is made."""
    return folder.with_name(f"{folder.name}.build")


def _constraints(versions: Mapping[str, str]) -> list[str]:
    return [
        f"{CORE}=={flytepath.__version__}",
        *(f"{name}{versions[name]}" for name in sorted(versions) if versions[name]),
    ]


def _is_pure(one: Linked) -> bool:
    return "Root-Is-Purelib: true" in (one.distribution.read_text("WHEEL") or "Root-Is-Purelib: true")


@contextlib.contextmanager
def _standing_in(site: Path) -> Iterator[None]:
    """flytepath's name and version while others are installed, so that those that require it find it there."""
    version = flytepath.__version__
    folder = site / f"flytepath-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {CORE}\nVersion: {version}\n", encoding="utf-8")
    (folder / "INSTALLER").write_text("flytepath\n", encoding="utf-8")
    names = ("METADATA", "INSTALLER", "RECORD")
    (folder / "RECORD").write_text("".join(f"{folder.name}/{name},,\n" for name in names), encoding="utf-8")
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
