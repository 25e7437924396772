"""The interface of a source of secrets. Values are fetched as late as possible and kept nowhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from flytepath.errors import FlytePathError
from flytepath.model.identity import Tenant


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Which secret is meant, never its value. ``scheme`` selects the provider; empty is the configured default."""

    group: str
    key: str
    scheme: str = ""
    version: str = ""


class SecretNotFoundError(FlytePathError, LookupError, ValueError):
    """The provider has no such secret for this tenant."""

    code = "FP-SECRET-MISSING"


class SecretProvider(ABC):
    """A source of secrets of one scheme."""

    @abstractmethod
    def get(self, reference: SecretReference, tenant: Tenant) -> bytes:
        """The secret's value for ``tenant``. Raises :class:`SecretNotFoundError`; the error never holds a value."""
