"""Names of things: ``project/domain/name@version`` and the tenant an action belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flytepath.errors import UsageError

DEFAULT_PROJECT = "default"
DEFAULT_DOMAIN = "development"

_LABEL = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_IDENTITY = re.compile(r"(?P<project>[^/@]+)/(?P<domain>[^/@]+)/(?P<name>[^@]+)@(?P<version>[^@]+)")


def check_label(value: str, what: str) -> str:
    """Return ``value`` if it can name a project or a domain, else raise :class:`UsageError`.

    A label has 1 to 63 characters: lower-case letters, digits, ``-`` and ``_``, the first and last a letter or digit.
    """
    if _LABEL.fullmatch(value):
        return value
    raise UsageError(
        f"{value!r} cannot name a {what}",
        expected="1 to 63 lower-case letters, digits, '-' or '_', starting and ending with a letter or digit",
        actual=repr(value),
    )


@dataclass(frozen=True, slots=True)
class Tenant:
    """The project and domain something belongs to."""

    project: str = DEFAULT_PROJECT
    domain: str = DEFAULT_DOMAIN

    def __post_init__(self) -> None:
        check_label(self.project, "project")
        check_label(self.domain, "domain")

    def __str__(self) -> str:
        return f"{self.project}/{self.domain}"


@dataclass(frozen=True, slots=True)
class Identity:
    """One version of a task, workflow or launch plan.

    Example:
        >>> str(Identity("default", "development", "flow.train", "v1"))
        'default/development/flow.train@v1'
        >>> Identity.parse("default/development/flow.train@v1").name
        'flow.train'
    """

    project: str
    domain: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.project}/{self.domain}/{self.name}@{self.version}"

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Read ``project/domain/name@version``; raises :class:`UsageError` on anything else."""
        match = _IDENTITY.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} is not an identity", expected="project/domain/name@version", actual=text)
        return cls(**match.groupdict())
