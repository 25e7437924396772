"""Secrets from environment variables: core's own provider, for one person's machine and for tests."""

from __future__ import annotations

import os
import re
from typing import Final

from flytepath.model.identity import Tenant
from flytepath.plugin.secrets import SecretNotFoundError, SecretProvider, SecretReference

#: Tried in this order. The second is the one flytekit reads.
PREFIXES: Final = ("FLYTEPATH_SECRET_", "_FSEC_")


class EnvironmentSecrets(SecretProvider):
    """The scheme ``env``: group and key name the variable, in capitals, with ``_`` for anything else.

    The variables are those of the process, so every tenant of it sees the same; use a vault to keep tenants apart.

    Example:
        >>> variables(SecretReference(group="db", key="pass-word"))
        ('FLYTEPATH_SECRET_DB_PASS_WORD', '_FSEC_DB_PASS_WORD')
    """

    def get(self, reference: SecretReference, tenant: Tenant) -> bytes:
        """The value of the first variable that is set."""
        names = variables(reference)
        for name in names:
            value = os.environb.get(os.fsencode(name)) if os.supports_bytes_environ else _encoded(name)
            if value is not None:
                return value
        raise SecretNotFoundError(
            f"no secret {reference.key!r} of group {reference.group!r} in the environment",
            place=f"{tenant}",
            expected=f"one of the variables {', '.join(names)}",
            hint="set it where the engine runs, or name another provider by the secret's scheme",
        )


def variables(reference: SecretReference) -> tuple[str, ...]:
    """The environment variables that may hold a secret, in the order they are tried."""
    parts = [re.sub(r"[^A-Za-z0-9]", "_", part).upper() for part in (reference.group, reference.key) if part]
    return tuple(prefix + "_".join(parts) for prefix in PREFIXES)


def _encoded(name: str) -> bytes | None:
    value = os.environ.get(name)
    return None if value is None else value.encode()
