"""What goes wrong when an environment is made: the errors, and what the tools' output says about the cause."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar, Final, Literal

from flytepath.errors import WorkerError

_CREDENTIALS: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)
_TAIL: Final = 12
_TAIL_LENGTH: Final = 2000

#: What pip and uv print where a machine, not a requirement, was out of reach.
_NETWORK: Final = re.compile(
    "|".join(
        (
            r"NewConnectionError|ConnectTimeoutError|ReadTimeoutError|Read timed out|ProxyError|SSLError",
            r"Failed to establish a new connection|Temporary failure in name resolution|Name or service not known",
            r"Max retries exceeded|Network is unreachable|Connection refused|Connection reset|RemoteDisconnected",
            r"Connection aborted|dns error|tcp connect error|error sending request|operation timed out",
            r"\b50[0234] (?:Server Error|Internal Server Error|Bad Gateway|Service Unavailable|Gateway Time-?out)",
            r"Could not connect",
        )
    )
)
_ABSENT: Final = re.compile(r"was not found in|there (?:is|are) no versions?|(?:is|are) available and you require")
_DISK: Final = re.compile(r"No space left on device|Disk quota exceeded|Read-only file system")
#: Where pip and uv name the requirement that stopped them; the first that matches is the one.
_REQUIREMENT: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"Invalid requirement: '([^']+)'",
        r"(?:Failed|Couldn't) (?:to )?parse(?: requirement)?[^`]*`([^`]+)`",
        r"Cannot install (.+?) because these package versions have conflicting dependencies",
        r"No matching distribution found for ([^\n(]+?)(?: \(from [^\n]*)?\n",
        r"Could not find a version that satisfies the requirement ([^\n(]+?) \(",
        r"(?:[Bb]ecause|and) ([\w.\-\[\]]+(?:[<>=!~][^\s,]*)?) was not found in the",
        r"there (?:is|are) no versions? of ([\w.\-\[\]]+(?:[<>=!~]\S*)?)",
        r"(?:is|are) available and you require ([\w.\-\[\]]+(?:[<>=!~][^\s,]*)?)",
        r"Failed to (?:download and )?build `([^`]+)`",
        r"Failed to build '([^']+)'",
        r"Failed to build installable wheels for some pyproject\.toml based projects \(([^)]+)\)",
        r"Failed building wheel for (\S+)",
        r"you require ([\w.\-\[\]]+(?:[<>=!~][^\s,]*)?)",
    )
)


class EnvironmentBuildError(WorkerError):
    """A task's environment cannot be made as it asks for it; no retry would change that."""

    code = "FP-ENVIRONMENT"
    kind: ClassVar[Literal["user", "system"]] = "user"
    recoverable: ClassVar[bool] = False


class EnvironmentUnavailableError(EnvironmentBuildError):
    """A task's environment could not be made this time: the network, the disk or the time was short."""

    code = "FP-ENVIRONMENT-UNAVAILABLE"
    kind = "system"
    recoverable = True


def redacted(text: str) -> str:
    """``text`` without the user names and passwords of its URLs.

    Example:
        >>> redacted("Looking in indexes: https://ann:hunter2@pypi.example/simple")
        'Looking in indexes: https://***@pypi.example/simple'
    """
    return _CREDENTIALS.sub(r"\1***@", text)


def last_lines(output: str) -> str:
    """The end of what a tool printed, for an error."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("Using Python ")]
    return "\n    ".join(lines[-_TAIL:])[-_TAIL_LENGTH:]


def diagnosed(output: str, asked: Iterable[str], **facts: str | None) -> EnvironmentBuildError:
    """The error that the output of a tool that failed amounts to.

    Args:
        output: everything it printed, without secrets.
        asked: the requirements of the task, to name one as it was written.
        facts: the other fields of the error.

    Example:
        >>> said = "ERROR: No matching distribution found for nosuchlib==1\\n"
        >>> diagnosed(said, ["nosuchlib==1"]).message
        'the environment cannot be built: nosuchlib==1 cannot be had'
    """
    flat = re.sub(r"[ \t│╰─▶]*\n[ \t│╰─▶]+", " ", output + "\n")
    if _DISK.search(output):
        return EnvironmentUnavailableError(
            "the environment could not be built: the disk is full or cannot be written",
            hint="free some space, then try again",
            **facts,
        )
    if _NETWORK.search(flat):
        return EnvironmentUnavailableError(
            "the environment could not be built: the package index was out of reach",
            hint="check the network, the proxy and the address of the index; it is tried again",
            **facts,
        )
    requirement = next((found[1].strip() for pattern in _REQUIREMENT if (found := pattern.search(flat))), None)
    if requirement is None:
        return EnvironmentBuildError("the environment cannot be built: the installer failed", **facts)
    named = _as_written(requirement, asked)
    if "conflicting dependencies" in flat or ("we can conclude" in flat and not _ABSENT.search(flat)):
        return EnvironmentBuildError(
            f"the environment cannot be built: {named} does not fit the rest",
            hint="loosen the versions that are asked for; flytepath's own requirements count too",
            **facts,
        )
    return EnvironmentBuildError(
        f"the environment cannot be built: {named} cannot be had",
        hint="check its name and version, and that there is one for this Python",
        **facts,
    )


def _as_written(requirement: str, asked: Iterable[str]) -> str:
    alike = [one for one in asked if _name(one) == _name(requirement)]
    return requirement if requirement in alike or not alike else alike[0]


def _name(requirement: str) -> str:
    name = re.split(r"[\s\[<>=!~;@(]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()
