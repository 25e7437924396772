"""Secrets from the keyring of the user: what the desktop, the operating system or a plugin of ``keyring`` keeps."""

from __future__ import annotations

from typing import Any, Final

from flytepath.engine.secrets.files import are_plain
from flytepath.model.identity import Tenant
from flytepath.plugin.secrets import SecretNotFoundError, SecretProvider, SecretProviderError, SecretReference

_SERVICE: Final = "flytepath"


class KeyringSecrets(SecretProvider):
    """The scheme ``keyring``: the tenant's own entry, else the one for all.

    The service is ``flytepath/PROJECT/DOMAIN/GROUP``, then ``flytepath/GROUP``; the user name is the key, with a
    version as ``KEY@VERSION``. Needs the extra ``flytepath[keyring]``.

    Example:
        >>> entries(SecretReference("db", "password"), Tenant("vision", "production"))
        [('flytepath/vision/production/db', 'password'), ('flytepath/db', 'password')]
    """

    def get(self, reference: SecretReference, tenant: Tenant) -> bytes:
        """The password of the first entry that is there."""
        if not are_plain(reference):
            raise SecretNotFoundError("it cannot name an entry")
        keyring = _library()
        for service, user in entries(reference, tenant):
            try:
                found = keyring.get_password(service, user)
            except keyring.errors.NoKeyringError:
                found, failure = None, "this machine has no keyring"
            except keyring.errors.KeyringLocked:
                found, failure = None, "the keyring is locked"
            except keyring.errors.KeyringError as error:
                found, failure = None, f"the keyring cannot be read: {type(error).__name__}"
            else:
                failure = ""
            if failure:
                raise SecretProviderError(
                    failure,
                    place=f"{service} {user}",
                    hint="`keyring diagnose` and `python -m keyring --list-backends` say which ones there are; "
                    "PYTHON_KEYRING_BACKEND chooses",
                )
            if found is not None:
                return str(found).encode()
        raise SecretNotFoundError(
            f"the keyring has no {reference.label}", expected=", ".join(self.places(reference, tenant))
        )

    def places(self, reference: SecretReference, tenant: Tenant) -> tuple[str, ...]:
        """The entries."""
        if not are_plain(reference):
            return (f"no entry of the keyring, because {reference.label!r} does not name one",)
        return tuple(f"the keyring's {service} {user}" for service, user in entries(reference, tenant))


def entries(reference: SecretReference, tenant: Tenant) -> list[tuple[str, str]]:
    """The entries that may hold a secret, as service and user name, in the order they are tried."""
    *groups, name = [part for part in (reference.group, reference.key) if part] or [reference.version]
    if reference.version and reference.version != name:
        name = f"{name}@{reference.version}"
    return [
        ("/".join((_SERVICE, tenant.project, tenant.domain, *groups)), name),
        ("/".join((_SERVICE, *groups)), name),
    ]


def _library() -> Any:
    import importlib

    try:
        importlib.import_module("keyring.errors")
        return importlib.import_module("keyring")
    except ImportError as error:
        raise SecretProviderError(
            "the keyring needs a library that is not installed",
            expected="the package keyring",
            actual=str(error),
            hint="pip install 'flytepath[keyring]'",
        ) from error
