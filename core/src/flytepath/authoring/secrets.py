"""``current_context().secrets``: the values of secrets, for the code of a running task. Nothing here keeps one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, overload

from flytepath.errors import InputError
from flytepath.plugin.secrets import SecretNotFoundError, SecretReference

if TYPE_CHECKING:
    from flytepath.model.identity import Tenant
    from flytepath.model.secret import Secret

#: Variables that say where secrets lie, and what they are without them. The names are flytekit's.
_ENV_PREFIX: Final = ("FLYTE_SECRETS_ENV_PREFIX", "_FSEC_")
_FILE_PREFIX: Final = ("FLYTE_SECRETS_FILE_PREFIX", "")
_FOLDER: Final = ("FLYTE_SECRETS_DEFAULT_DIR", "/etc/secrets")
_OWN_PREFIX: Final = "FLYTEPATH_SECRET_"


class SecretsManager:
    """Looks a secret up each time it is asked for: environment variables, mounted files, then the secret provider.

    Example:
        >>> os.environ["_FSEC_DB_PASSWORD"] = "swordfish"
        >>> secrets = SecretsManager()
        >>> secrets.get("db", "password")
        'swordfish'
        >>> secrets.db.password
        'swordfish'
        >>> secrets
        <secrets>
        >>> del os.environ["_FSEC_DB_PASSWORD"]
    """

    __slots__ = ("_tenant",)

    def __init__(self, tenant: Tenant | None = None) -> None:
        self._tenant = tenant

    @overload
    def get(
        self,
        group: str | None = None,
        key: str | None = None,
        group_version: str | None = None,
        encode_mode: Literal["r"] = "r",
        *,
        scheme: str = "",
    ) -> str: ...
    @overload
    def get(
        self,
        group: str | None = None,
        key: str | None = None,
        group_version: str | None = None,
        *,
        encode_mode: Literal["rb"],
        scheme: str = "",
    ) -> bytes: ...
    def get(
        self,
        group: str | None = None,
        key: str | None = None,
        group_version: str | None = None,
        encode_mode: str = "r",
        *,
        scheme: str = "",
    ) -> str | bytes:
        """A secret's value.

        Args:
            group, key, group_version: which one, as in the task's ``Secret(...)``.
            encode_mode: ``r`` for text, without white space around it; ``rb`` for the bytes as they are.
            scheme: the provider that is asked, alone; by default variables and files, then the provider of the
                environment.

        Raises:
            SecretNotFoundError: it is nowhere; the error names every place, and is a ``ValueError`` too.
            InputError: neither a group nor a key, or another ``encode_mode``.
        """
        _check(group, key)
        if encode_mode not in ("r", "rb"):
            raise InputError("encode_mode is 'r' or 'rb'", place="secrets.get(encode_mode)", actual=repr(encode_mode))
        content = self._find(group, key, group_version, scheme)
        return content if encode_mode == "rb" else content.decode().strip()

    def get_secrets_env_var(
        self, group: str | None = None, key: str | None = None, group_version: str | None = None
    ) -> str:
        """The name of the environment variable that is looked at first."""
        _check(group, key)
        return _setting(_ENV_PREFIX) + "_".join(part for part in (group, group_version, key) if part).upper()

    def get_secrets_file(
        self, group: str | None = None, key: str | None = None, group_version: str | None = None
    ) -> str:
        """The path of the file that is looked at after the variables."""
        _check(group, key)
        *folders, name = [part for part in (group, group_version, key) if part]
        return str(Path(_setting(_FOLDER), *folders, f"{_setting(_FILE_PREFIX)}{name}"))

    def __getattr__(self, group: str) -> _Group:
        if group.startswith("__"):
            raise AttributeError(group)
        return _Group(self, group)

    def __repr__(self) -> str:
        return "<secrets>"

    def _find(self, group: str | None, key: str | None, version: str | None, scheme: str) -> bytes:
        looked: list[str] = []
        if not scheme:
            for variable in self._variables(group, key, version):
                value = os.environ.get(variable)
                if value is not None:
                    return os.fsencode(value)
                looked.append(f"the variable {variable}")
            path = self.get_secrets_file(group, key, version)
            looked.append(f"the file {path}")
            try:
                return Path(path).read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                pass  # it is not there, which the error below says
        from flytepath.model.identity import Tenant
        from flytepath.plugin.manager import current

        manager = current()
        claim = manager.secret_provider(scheme)
        manager.check_enabled(claim, self._tenant)
        reference = SecretReference(group or "", key or "", scheme, version or "")
        try:
            value_of: bytes = manager.resolve(claim.declaration.provider)().get(reference, self._tenant or Tenant())
        except SecretNotFoundError as error:
            looked.append(f"the provider {claim.declaration.scheme!r}")
            name = f"key {key!r} of group {group!r}" if group and key else f"{(group or key)!r}"
            raise SecretNotFoundError(
                f"there is no secret {name}",
                place="current_context().secrets",
                expected=f"one of {', '.join(looked)}",
                hint=f"set {self.get_secrets_env_var(group, key, version)}, or ask for it where the task is declared: "
                f"@task(secret_requests=[Secret(group={group!r}, key={key!r})])",
            ) from error
        return value_of

    def _variables(self, group: str | None, key: str | None, version: str | None) -> tuple[str, ...]:
        exact = self.get_secrets_env_var(group, key, version)
        plain = re.sub(r"[^A-Za-z0-9]", "_", "_".join(part for part in (group, version, key) if part)).upper()
        # A variable cannot have every letter a key can; "pass-word" is found as PASS_WORD too.
        return tuple(dict.fromkeys((exact, f"{_setting(_ENV_PREFIX)}{plain}", f"{_OWN_PREFIX}{plain}")))


class _Group:
    """``secrets.<group>``, on the way to ``secrets.<group>.<key>``."""

    __slots__ = ("_group", "_secrets")

    def __init__(self, secrets: SecretsManager, group: str) -> None:
        self._secrets = secrets
        self._group = group

    def __getattr__(self, key: str) -> str:
        if key.startswith("__"):
            raise AttributeError(key)
        return self._secrets.get(self._group, key)

    def __repr__(self) -> str:
        return f"<secrets of {self._group!r}>"


def secret_environment(requests: Iterable[Secret], secrets: SecretsManager) -> dict[str, str]:
    """The variables that ``requests`` ask for with ``env_var``, with their values.

    Raises:
        SecretNotFoundError: one of them is nowhere.
    """
    return {
        request.env_var: secrets.get(request.group, request.key, request.group_version)
        for request in requests
        if request.env_var is not None
    }


def _setting(setting: tuple[str, str]) -> str:
    variable, default = setting
    return os.environ.get(variable, default)


def _check(group: str | None, key: str | None) -> None:
    if not group and not key:
        raise InputError("a secret has a group or a key", place="secrets.get()", expected="get(group, key)")
