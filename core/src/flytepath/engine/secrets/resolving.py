"""The one way to the value of a secret: the provider is chosen, the policy asked, and no error holds what came."""

from __future__ import annotations

import os
from typing import Any

from flytepath.engine.secrets import given
from flytepath.engine.secrets.configured import SecretSources, secret_sources
from flytepath.errors import FlytePathError
from flytepath.model.identity import Tenant
from flytepath.plugin.declarations import SecretProviderDeclaration
from flytepath.plugin.policy import CORE
from flytepath.plugin.secrets import SecretNotFoundError, SecretProvider, SecretProviderError, SecretReference


def resolve_secret(reference: SecretReference, tenant: Tenant | None = None) -> bytes:
    """The value of a secret, asked for anew each time and kept nowhere.

    Args:
        reference: which one. Its scheme is asked alone; without one, those that are configured for the tenant, in
            their order, until one has it. One that fails is not passed over: the next may hold another value.
        tenant: whose; the default project and domain in a direct call.

    Raises:
        SecretNotFoundError: it is nowhere; the error names every place.
        SecretProviderError: a provider failed. Of what it raised only the class is told.
        PluginNotFoundError, PluginDeniedError: no plugin provides the scheme, or not for this tenant.
        ConfigError: the configuration is wrong.

    Example:
        >>> import os
        >>> os.environ["FLYTEPATH_SECRET_DB_PASSWORD"] = "swordfish"
        >>> resolve_secret(SecretReference("db", "password"))
        b'swordfish'
        >>> del os.environ["FLYTEPATH_SECRET_DB_PASSWORD"]
    """
    from flytepath.plugin.manager import current

    manager = current()
    whose = tenant or Tenant()
    sources = SecretSources((reference.scheme,)) if reference.scheme else secret_sources(whose)
    looked: list[str] = []
    for scheme in sources.schemes:
        try:
            claim = manager.secret_provider(scheme)
        except FlytePathError as error:
            error.place = error.place or (f"the secret {reference.label}" if reference.scheme else sources.place)
            raise
        manager.check_enabled(claim, tenant)
        declaration: SecretProviderDeclaration = claim.declaration
        provider: SecretProvider = manager.resolve(declaration.provider)()
        asked = SecretReference(reference.group, reference.key, scheme, reference.version)
        value = _asked(provider, asked, whose, is_ours=claim.plugin == CORE)
        if value is not None:
            given.note(reference.label, value)
            return value
        looked += _places(provider, asked, whose) or [f"the provider {scheme!r}"]
    raise SecretNotFoundError(
        f"there is no secret {named(reference)}",
        place=f"project {whose.project}, domain {whose.domain}",
        expected=f"one of {', '.join(looked)}" if len(looked) > 1 else "".join(looked),
        hint="put it into one of these places, or name the provider that has it: Secret(..., scheme=...), "
        "or default= in the [secrets] table of the configuration",
    )


def named(reference: SecretReference) -> str:
    """A reference for a sentence.

    Example:
        >>> named(SecretReference("db", "password")), named(SecretReference("", "token", version="2"))
        ("key 'password' of group 'db'", "'token', version '2'")
    """
    both = reference.group and reference.key
    name = f"key {reference.key!r} of group {reference.group!r}" if both else repr(reference.group or reference.key)
    return name + (f", version {reference.version!r}" if reference.version else "")


def _asked(provider: SecretProvider, reference: SecretReference, tenant: Tenant, *, is_ours: bool) -> bytes | None:
    """The value; ``None`` where the provider has none.

    What a plugin raises ends here, with its causes: any text in it may hold a value, and nobody could tell.
    """
    value: Any = None
    failure: FlytePathError | None = None
    try:
        value = provider.get(reference, tenant)
    except SecretNotFoundError:
        return None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is told as a failure of the provider
        if is_ours and isinstance(error, FlytePathError):
            failure = error.with_traceback(None)
        else:
            failure = _failed(reference, error)
    if failure is not None:
        failure.__cause__ = failure.__context__ = None
        raise failure
    if not isinstance(value, bytes):
        raise SecretProviderError(
            f"the provider {reference.scheme!r} gives what is no value of a secret",
            place=named(reference),
            expected="bytes",
            actual=type(value).__name__,
            hint="this is a fault of the plugin that provides it",
        )
    return value


def _failed(reference: SecretReference, error: BaseException) -> SecretProviderError:
    kind = type(error)
    shown = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, OSError) and isinstance(error.errno, int):
        shown += f" ({os.strerror(error.errno)})"
    return SecretProviderError(
        f"the provider {reference.scheme!r} failed: {shown}",
        place=named(reference),
        hint="what it said is not shown, because it may hold the value; ask the provider itself",
    )


def _places(provider: SecretProvider, reference: SecretReference, tenant: Tenant) -> list[str]:
    try:
        return [*provider.places(reference, tenant)]
    except Exception:  # noqa: BLE001 - the error is about the secret, and its text is as little to be trusted as any
        return []
