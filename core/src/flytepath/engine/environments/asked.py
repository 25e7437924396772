"""What a task asks of its environment, out of the image it declares."""

from __future__ import annotations

import platform
import shlex
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from flytepath.engine.environments.failures import EnvironmentBuildError, redacted
from flytepath.errors import ConfigError
from flytepath.model.literal import canonical_json, sha256
from flytepath.plugin.requirements import parse_requirement

#: What of an image means nothing to a virtual environment.
_FOR_IMAGES: Final = ("apt_packages", "conda_packages", "commands", "copy", "cuda", "cudnn", "pip_secret_mounts")
CORE: Final = "flytepath"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an environment contains: whoever asks for the same gets the same.

    Args:
        packages: requirements, normalised and sorted.
        requirements, constraints: the text of requirement files.
        python: ``3.12`` or ``3.12.1``; empty for the engine's own.
        index, extra_indexes, arguments: for the installer.
        plugin: the distribution that runs the task; empty for core's own.
        contents: digests of the files that requirements name.
        left_out: what was declared and has no meaning here.
    """

    packages: tuple[str, ...] = ()
    requirements: str = ""
    constraints: str = ""
    python: str = ""
    index: str = ""
    extra_indexes: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    plugin: str = ""
    contents: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def minor(self) -> str:
        """The version of Python as ``X.Y``."""
        return ".".join(self.python.split(".")[:2]) if self.python else ENGINE_MINOR

    def lines(self) -> list[str]:
        """Everything that is to be installed, a requirement each."""
        return [*self.packages, *requirement_lines(self.requirements)]

    def names(self) -> frozenset[str]:
        """The normalised names of what is asked for, where a requirement tells its name."""
        return frozenset(parsed.name for line in self.lines() if (parsed := parse(line)) is not None)

    def __str__(self) -> str:
        said = [f"Python {self.python or ENGINE_MINOR}", *self.packages]
        said += [line for line in requirement_lines(self.requirements) if line not in said]
        text = ", ".join(said)
        return redacted(text if len(text) <= 300 else f"{text[:300]}...")

    def digest(self, engine: Any) -> str:
        """What tells this environment from others; ``engine`` says what is added to every one."""
        facts = {
            "format": 1,
            "packages": list(self.packages),
            "requirements": requirement_lines(self.requirements),
            "constraints": requirement_lines(self.constraints),
            "python": self.python or ENGINE_MINOR,
            "index": self.index,
            "extra_indexes": list(self.extra_indexes),
            "arguments": list(self.arguments),
            "contents": list(self.contents),
            "platform": [sysconfig.get_platform(), platform.python_implementation(), sys.base_prefix],
            "engine": engine,
        }
        return sha256(canonical_json(facts)).removeprefix("sha256:")[:24]


ENGINE_MINOR: Final = ".".join(platform.python_version_tuple()[:2])


def asked_by(environment: Any, plugin: str = "") -> Asked | None:
    """What a task asks for; ``None`` where the engine's own environment gives it.

    Args:
        environment: of the task's spec: an image's name, an image's description, or nothing.
        plugin: the distribution that runs the task, with its version.

    Raises:
        EnvironmentBuildError: it cannot be meant: an option in the place of a requirement, another ``flytepath``.

    Example:
        >>> asked_by("ghcr.io/me/train:1") is None
        True
        >>> asked_by({"packages": ["B==2", "a>=1"]}).packages
        ('a>=1', 'b==2')
    """
    layers = list(_layers(environment))
    if not layers:
        return None
    packages = [one for layer in layers for key in ("packages", "runtime_packages") for one in layer.get(key) or ()]
    python = next((layer["python_version"] for layer in reversed(layers) if layer.get("python_version")), "")
    requirements = "\n".join(_text_of(layer) for layer in layers if layer.get("requirements"))
    if not packages and not requirement_lines(requirements) and _is_engine_python(python):
        return None
    return Asked(
        packages=tuple(sorted({normal for one in packages for normal in _normalised(one)})),
        requirements=requirements,
        constraints="\n".join(layer.get("constraints_text", "") for layer in layers).strip(),
        python="" if _is_engine_python(python) else python,
        index=next((layer["pip_index"] for layer in reversed(layers) if layer.get("pip_index")), ""),
        extra_indexes=tuple(url for layer in layers for url in layer.get("pip_extra_index_url") or ()),
        arguments=tuple(word for layer in layers for word in _words(layer.get("pip_extra_args") or "")),
        plugin=canonicalize_name(plugin.partition(" ")[0]),
        contents=tuple(sorted(one for layer in layers for one in layer.get("content_digests") or ())),
        left_out=tuple(name for name in _FOR_IMAGES if any(layer.get(name) for layer in layers)),
    )


def _layers(environment: Any) -> Iterator[Mapping[str, Any]]:
    """The descriptions an image is made of, the one it builds upon first."""
    if isinstance(environment, Mapping):
        yield from _layers(environment.get("base_image"))
        yield environment


def _text_of(layer: Mapping[str, Any]) -> str:
    text = layer.get("requirements_text")
    if isinstance(text, str):
        return text
    # Compiled by hand, without the content: then the file is read where it lies.
    path = Path(layer["requirements"])
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise EnvironmentBuildError(
            "the requirements file cannot be read",
            place="ImageSpec(requirements)",
            actual=f"{path}: {error.strerror or error}",
        ) from error


def _is_engine_python(version: str) -> bool:
    return version in ("", ENGINE_MINOR, platform.python_version())


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise EnvironmentBuildError(
            "the installer's arguments cannot be split into words",
            place="ImageSpec(pip_extra_args)",
            actual=f"{redacted(text)}: {error}",
        ) from error


def requirement_lines(text: str) -> list[str]:
    """The lines of a requirements file that say something, without comments, continued lines joined.

    Example:
        >>> requirement_lines("# libraries\\na==1  # old\\n\\nb \\\\\\n  >=2\\n")
        ['a==1', 'b >=2']
    """
    joined = text.replace("\\\r\n", " ").replace("\\\n", " ")
    lines = (" ".join(line.split(" #", maxsplit=1)[0].split()) for line in joined.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A requirement as the standard writes it."""

    name: str
    requirement: Requirement


def parse(line: str) -> Parsed | None:
    """A requirement; ``None`` for a path, an address, or an option, which only the installer understands."""
    try:
        requirement = parse_requirement(line.partition(" --")[0])
    except InvalidRequirement:
        return None
    return Parsed(canonicalize_name(requirement.name), requirement)


def _normalised(line: str) -> Iterator[str]:
    if line.lstrip().startswith("-"):
        raise EnvironmentBuildError(
            "an option is no requirement",
            place="ImageSpec(packages)",
            actual=redacted(line),
            hint="options of the installer belong into pip_extra_args",
        )
    parsed = parse(line)
    if parsed is None:
        yield line.strip()
    elif parsed.name == CORE:
        yield from _of_core(parsed.requirement)
    else:
        parsed.requirement.name = parsed.name
        yield str(parsed.requirement)


def _of_core(requirement: Requirement) -> Iterator[str]:
    """What asking for ``flytepath`` itself comes to: nothing but what its extras bring, for it is there already."""
    from importlib.metadata import requires

    import flytepath

    if requirement.url or not requirement.specifier.contains(flytepath.__version__, prereleases=True):
        raise EnvironmentBuildError(
            "an environment has the engine's own flytepath, no other",
            place="ImageSpec(packages)",
            expected=f"flytepath=={flytepath.__version__}, or nothing",
            actual=redacted(str(requirement)),
            hint="leave it away: it is always there",
        )
    for line in requires(CORE) or ():
        part = parse_requirement(line)
        if part.marker is None or part.marker.evaluate({"extra": ""}):
            continue
        if any(part.marker.evaluate({"extra": extra}) for extra in requirement.extras):
            part.marker = None
            yield str(part)


def number_of(variable: str, text: str | None, default: float) -> float:
    """A positive number of seconds out of an environment variable.

    Raises:
        ConfigError: it is none.
    """
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"{variable} is no number of seconds", place=variable, expected="> 0", actual=repr(text))
    return seconds
