"""The interface of a source of secrets. Values are fetched as late as possible and kept nowhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from flytepath.errors import FlytePathError
from flytepath.model.identity import Tenant


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Which secret is meant, never its value. ``scheme`` selects the provider; empty is the configured default.

    Example:
        >>> SecretReference("db", "password").label
        'db.password'
    """

    group: str
    key: str
    scheme: str = ""
    version: str = ""

    @property
    def label(self) -> str:
        """Its name for people: group and key, as far as it has them."""
        return ".".join(part for part in (self.group, self.key) if part)


class SecretNotFoundError(FlytePathError, LookupError, ValueError):
    """The provider has no such secret for this tenant."""

    code = "FP-SECRET-MISSING"


class SecretProviderError(FlytePathError):
    """A source of secrets does not work: it cannot be reached, refuses, or gives what is no value."""

    code = "FP-SECRET-PROVIDER"
    blame = "system"


class SecretProvider(ABC):
    """A source of secrets of one scheme. Made without arguments for every secret that is asked for.

    What it raises is told by its class alone, because the text of an error may hold a value: a provider that wants to
    say more says it in :meth:`places`.
    """

    @abstractmethod
    def get(self, reference: SecretReference, tenant: Tenant) -> bytes:
        """The secret's value for ``tenant``. Raises :class:`SecretNotFoundError`; the error never holds a value.

        It must not give one tenant what belongs to another, whatever the names in ``reference`` look like.
        """

    def places(self, reference: SecretReference, tenant: Tenant) -> tuple[str, ...]:
        """Where :meth:`get` looks, for the error that names them all; by default the provider itself."""
        return ()
