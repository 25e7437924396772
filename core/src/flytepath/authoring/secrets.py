"""``current_context().secrets``: the values of secrets, for the code of a running task. Nothing here keeps one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, overload

from flytepath.engine.secrets.environment import exact_variable
from flytepath.engine.secrets.files import are_plain, mounted_file
from flytepath.engine.secrets.resolving import named, resolve_secret
from flytepath.errors import InputError
from flytepath.model.secret import Secret, SecretMount
from flytepath.plugin.secrets import SecretNotFoundError, SecretReference

if TYPE_CHECKING:
    from flytepath.authoring.context import ExecutionContext
    from flytepath.model.identity import Tenant

#: Tells what a task starts where the secrets are that it asked for as files.
FOLDER_VARIABLE: Final = "FLYTEPATH_SECRETS_MOUNTED"
#: The folder of those files, beside what the attempt itself puts into its folder.
_FOLDER: Final = ".secrets"


class SecretsManager:
    """Looks a secret up each time it is asked for.

    Args:
        tenant: whose secrets; ``None`` in a direct call.
        requests: those that the task has asked for, with the provider it named for each.
        folder: where those lie that it asked for as files.

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

    __slots__ = ("_folder", "_requests", "_tenant")

    def __init__(
        self, tenant: Tenant | None = None, requests: tuple[Secret, ...] = (), folder: Path | None = None
    ) -> None:
        self._tenant = tenant
        self._requests = requests
        self._folder = folder

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
            scheme: the provider that is asked, alone; by default the one that the task's ``Secret(...)`` names, else
                those that are configured.

        Raises:
            SecretNotFoundError: it is nowhere; the error names every place, and is a ``ValueError`` too.
            SecretProviderError: a provider failed.
            InputError: neither a group nor a key, another ``encode_mode``, or text was asked for and it is none.
        """
        _check(group, key)
        if encode_mode not in ("r", "rb"):
            raise InputError("encode_mode is 'r' or 'rb'", place="secrets.get(encode_mode)", actual=repr(encode_mode))
        request = self._request(group, key, group_version)
        named_by_task = (request.scheme or "") if request is not None else ""
        reference = SecretReference(group or "", key or "", scheme or named_by_task, group_version or "")
        try:
            content = resolve_secret(reference, self._tenant)
        except SecretNotFoundError as error:
            if request is None:
                error.hint = (
                    f"set {self.get_secrets_env_var(group, key, group_version)}, or ask for it where the task is "
                    f"declared: @task(secret_requests=[Secret(group={group!r}, key={key!r})])"
                )
            raise
        return content if encode_mode == "rb" else _text(content, reference)

    def get_secrets_env_var(
        self, group: str | None = None, key: str | None = None, group_version: str | None = None
    ) -> str:
        """The name of the environment variable that is looked at first; it is set for a secret asked for as one."""
        _check(group, key)
        return exact_variable(*(part for part in (group, group_version, key) if part))

    def get_secrets_file(
        self, group: str | None = None, key: str | None = None, group_version: str | None = None
    ) -> str:
        """The path of a secret's file: this attempt's own for one asked for as a file, else where files are mounted."""
        _check(group, key)
        request = self._request(group, key, group_version)
        if request is not None and request.mount_requirement is SecretMount.FILE and self._folder is not None:
            return str(_file_of(self._folder, request))
        return str(mounted_file(*(part for part in (group, group_version, key) if part)))

    def __getattr__(self, group: str) -> _Group:
        if group.startswith("__"):
            raise AttributeError(group)
        return _Group(self, group)

    def __repr__(self) -> str:
        return "<secrets>"

    def _request(self, group: str | None, key: str | None, version: str | None) -> Secret | None:
        """What the task has asked for under this name; of two, the one that says how it is handed over."""
        fitting = [
            request
            for request in self._requests
            if (request.group or None, request.key or None) == (group or None, key or None)
            and (not version or request.group_version == version)
        ]
        fitting.sort(key=lambda request: (request.mount_requirement is not SecretMount.FILE, request.scheme is None))
        return fitting[0] if fitting else None


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


@contextmanager
def handed_over(requests: Iterable[Secret], context: ExecutionContext) -> Iterator[None]:
    """All secrets that a task asks for are there, as variables and files where it wants them so, until its body ends.

    Raises:
        SecretNotFoundError: one of them is nowhere; nothing of the task has run.
        SecretProviderError: a provider failed.
    """
    from flytepath.plugin.variables import variables_set

    requests = tuple(requests)
    variables: dict[str, str] = {}
    files: list[tuple[Secret, bytes]] = []
    manager = SecretsManager(context.tenant, requests)
    for request in requests:
        reference = SecretReference(
            request.group or "", request.key or "", request.scheme or "", request.group_version or ""
        )
        try:
            value = resolve_secret(reference, context.tenant)
        except SecretNotFoundError as error:
            error.place = f"{context.node_path or 'the task'}(secret_requests), {error.place}"
            raise
        if request.mount_requirement is SecretMount.FILE:
            files.append((request, value))
        elif request.env_var is not None:
            variables[request.env_var] = _text(value, reference)
        elif request.mount_requirement is SecretMount.ENV_VAR:
            name = manager.get_secrets_env_var(request.group, request.key, request.group_version)
            variables[name] = _text(value, reference)
    folder = context.working_directory / _FOLDER if files else None
    try:
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for request, value in files:
                _write(_file_of(folder, request), value)
            variables[FOLDER_VARIABLE] = str(folder)
        del files
        context.secrets_given(requests, folder)
        with variables_set(variables):
            yield
    finally:
        if folder is not None:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)


def _file_of(folder: Path, request: Secret) -> Path:
    reference = SecretReference(request.group or "", request.key or "", version=request.group_version or "")
    if not are_plain(reference):
        raise InputError(
            "this secret cannot be handed over as a file, because its name cannot be one",
            place=f"the secret {named(reference)}",
            expected="group, key and version without / and \\",
        )
    return folder.joinpath(*(part for part in (request.group, request.group_version, request.key) if part))


def _write(path: Path, value: bytes) -> None:
    """A file that nobody else can read, in folders that nobody else can enter."""
    path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(value)


def _text(content: bytes, reference: SecretReference) -> str:
    text: str | None
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        text = None
    if text is not None:
        return text
    # Raised out here, because the error of the decoder holds the value.
    raise InputError(
        f"the secret {named(reference)} is not text",
        place="current_context().secrets",
        expected="text in UTF-8",
        hint="get(..., encode_mode='rb') gives the bytes; as a variable it cannot be handed over",
    )


def _check(group: str | None, key: str | None) -> None:
    if not group and not key:
        raise InputError("a secret has a group or a key", place="secrets.get()", expected="get(group, key)")
