"""Secrets from environment variables: for one person's machine, for containers and for tests."""

from __future__ import annotations

import os
import re
from typing import Final

from flytepath.model.identity import Tenant
from flytepath.plugin.secrets import SecretNotFoundError, SecretProvider, SecretReference

#: What stands before the names of flytekit, and the variable that replaces it.
_THEIRS: Final = ("FLYTE_SECRETS_ENV_PREFIX", "_FSEC_")
_OURS: Final = "FLYTEPATH_SECRET_"


class EnvironmentSecrets(SecretProvider):
    """The scheme ``env``: group, version and key name the variable, in capitals, with ``_`` for anything else.

    The variables are those of the process, so every tenant of it sees the same; keep tenants apart with files, a
    keyring or a vault.

    Example:
        >>> variables(SecretReference(group="db", key="pass-word"))
        ('_FSEC_DB_PASS-WORD', '_FSEC_DB_PASS_WORD', 'FLYTEPATH_SECRET_DB_PASS_WORD')
    """

    def get(self, reference: SecretReference, tenant: Tenant) -> bytes:
        """The value of the first variable that is set."""
        for name in variables(reference):
            value = os.environ.get(name)
            if value is not None:
                return os.fsencode(value)
        raise SecretNotFoundError(
            f"the environment has no secret {reference.label}",
            expected=f"one of the variables {', '.join(variables(reference))}",
        )

    def places(self, reference: SecretReference, tenant: Tenant) -> tuple[str, ...]:
        """The variables."""
        return tuple(f"the variable {name}" for name in variables(reference))


def variables(reference: SecretReference) -> tuple[str, ...]:
    """The environment variables that may hold a secret, in the order they are tried."""
    parts = [part for part in (reference.group, reference.version, reference.key) if part]
    # A variable cannot have every letter a key can; "pass-word" is found as PASS_WORD too.
    plain = re.sub(r"[^A-Za-z0-9]", "_", "_".join(parts)).upper()
    return tuple(dict.fromkeys((exact_variable(*parts), f"{_prefix()}{plain}", f"{_OURS}{plain}")))


def exact_variable(*parts: str) -> str:
    """The variable that flytekit looks at: the parts as they are, in capitals."""
    return f"{_prefix()}{'_'.join(parts).upper()}"


def all_values() -> dict[str, bytes]:
    """Every variable of this process that is a secret by its name, with its value."""
    prefixes = (_prefix() or _OURS, _OURS)
    return {name: os.fsencode(value) for name, value in os.environ.items() if name.startswith(prefixes)}


def _prefix() -> str:
    variable, default = _THEIRS
    return os.environ.get(variable, default)
