"""Secrets from files: a folder with one file a secret, as orchestrators mount them and people keep them."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Final

from flytepath.engine.secrets.configured import secret_sources
from flytepath.model.identity import Tenant
from flytepath.plugin.secrets import SecretNotFoundError, SecretProvider, SecretProviderError, SecretReference

log = logging.getLogger("flytepath")

#: The variables of flytekit that say where secrets are mounted, and what they are without them.
_MOUNTED: Final = ("FLYTE_SECRETS_DEFAULT_DIR", "/etc/secrets")
_FILE_PREFIX: Final = ("FLYTE_SECRETS_FILE_PREFIX", "")
#: A longer file is no secret.
SIZE_LIMIT: Final = 1 << 20

_warned: set[str] = set()


class FileSecrets(SecretProvider):
    """The scheme ``file``: the tenant's own file, else the one for all, else the one that is mounted for this process.

    Below the configured folder a tenant's file is ``PROJECT/DOMAIN/GROUP/KEY``, that for all is ``GROUP/KEY``; a
    version is written behind the key, as ``KEY@VERSION``. So no name of a secret that is for all can lead into the
    files of a tenant. Names that are no plain names of files are in no file, and links lead out of no folder.
    """

    def get(self, reference: SecretReference, tenant: Tenant) -> bytes:
        """The content of the first file that is there."""
        for root, path in _candidates(reference, tenant):
            found = _content(root, path)
            if found is not None:
                return found
        raise SecretNotFoundError(
            f"no file holds {reference.label}", expected=", ".join(self.places(reference, tenant))
        )

    def places(self, reference: SecretReference, tenant: Tenant) -> tuple[str, ...]:
        """The files."""
        if not are_plain(reference):
            return (f"no file, because {reference.label!r} does not name one",)
        return tuple(f"the file {path}" for _, path in _candidates(reference, tenant))


def are_plain(reference: SecretReference) -> bool:
    """Whether group, key and version can each be the name of a file.

    Example:
        >>> are_plain(SecretReference("db", "password")), are_plain(SecretReference("..", "passwd"))
        (True, False)
    """
    parts = [part for part in (reference.group, reference.key, reference.version) if part]
    return bool(parts) and not any(
        part in {".", ".."} or len(part) > 200 or any(sign in "/\\" or not sign.isprintable() for sign in part)
        for part in parts
    )


def mounted_file(*parts: str) -> Path:
    """Where flytekit looks: below the folder of mounted secrets, the last part behind the prefix of files."""
    *folders, name = parts
    return Path(os.environ.get(*_MOUNTED), *folders, f"{os.environ.get(*_FILE_PREFIX)}{name}")


def _candidates(reference: SecretReference, tenant: Tenant) -> list[tuple[Path, Path]]:
    """The files that may hold a secret, each after the folder that it may not lead out of."""
    if not are_plain(reference):
        return []
    found = []
    folder = secret_sources(tenant).folder
    if folder is not None:
        *groups, name = [part for part in (reference.group, reference.key) if part] or [reference.version]
        if reference.version and reference.version != name:
            name = f"{name}@{reference.version}"
        own = folder / tenant.project / tenant.domain
        found = [(own, own.joinpath(*groups, name)), (folder, folder.joinpath(*groups, name))]
    mounted = Path(os.environ.get(*_MOUNTED))
    if folder is None or not _overlap(folder, mounted):
        parts = [part for part in (reference.group, reference.version, reference.key) if part]
        found.append((mounted, mounted_file(*parts)))
    return found


def _overlap(one: Path, other: Path) -> bool:
    """Whether one folder is the other, or lies in it: then the files of tenants could be reached by other names."""
    first, second = Path(os.path.realpath(one)), Path(os.path.realpath(other))
    return first.is_relative_to(second) or second.is_relative_to(first)


def _content(root: Path, path: Path) -> bytes | None:
    """What a file below ``root`` holds; ``None`` where there is none.

    Raises:
        SecretProviderError: it leads out of ``root``, is too large, or cannot be read.
    """
    real = os.path.realpath(path)
    if not os.path.lexists(real):
        return None
    if not Path(real).is_relative_to(os.path.realpath(root)):
        raise SecretProviderError(
            "a link leads out of the folder of secrets", place=str(path), hint="copy the file into the folder"
        )
    try:
        # Not a pipe that nobody writes to, and not what has taken the file's place since.
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SecretProviderError(
            f"the file of a secret cannot be read: {error.strerror}",
            place=str(path),
            hint="it must be readable by the user that runs the task",
        ) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):  # a folder is a group, and no secret
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > SIZE_LIMIT:
            raise SecretProviderError("the file is too large for a secret", place=str(path), expected="at most 1 MiB")
        if status.st_mode & stat.S_IROTH and real not in _warned:
            _warned.add(real)
            log.warning("every user of this machine can read the secret in %s: chmod 600 it", path)
        return file.read()
