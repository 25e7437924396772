"""Which secret a task asks for. Its value never stands here."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import ClassVar

from flytepath.errors import DefinitionError
from flytepath.model.declared import Declared, need_optional_text, need_text, set_field

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)


class SecretMount(enum.IntEnum):
    """How a secret reaches the task: as the platform likes, as an environment variable, or as a file."""

    ANY = 0
    ENV_VAR = 1
    FILE = 2


@dataclass(frozen=True, slots=True)
class Secret(Declared):
    """A secret that a task asks for; ``current_context().secrets`` gives it to the running code.

    Args:
        group: the name under which secrets are grouped in the store.
        key: the secret within the group; ``None`` for a group that is one secret.
        group_version: a version of the group; the latest one by default.
        mount_requirement: how it must be handed over.
        env_var: also put the value into this environment variable of the task.
        scheme: the provider that has it: ``env``, ``file``, ``keyring``, or a plugin's; by default those that are
            configured are asked in their order.

    Raises:
        DefinitionError: neither group nor key, an ``env_var`` that cannot name a variable, or a ``scheme`` that is
            none.

    Example:
        >>> Secret("db", "password").to_json()
        {'group': 'db', 'key': 'password'}
        >>> Secret(group="db", key="password", mount_requirement=Secret.MountType.FILE).mount_requirement.name
        'FILE'
    """

    MountType: ClassVar[type[SecretMount]] = SecretMount

    group: str | None = None
    key: str | None = None
    group_version: str | None = None
    mount_requirement: SecretMount = SecretMount.ANY
    env_var: str | None = None
    scheme: str | None = None

    def __post_init__(self) -> None:
        for name in ("group", "key", "group_version"):
            need_optional_text(getattr(self, name), f"Secret({name})")
        if self.group is None and self.key is None:
            raise DefinitionError("a secret needs a group or a key", place="Secret()", expected="Secret(group, key)")
        try:
            set_field(self, "mount_requirement", SecretMount(self.mount_requirement))
        except ValueError as error:
            raise DefinitionError(
                "mount_requirement is one of Secret.MountType",
                place="Secret(mount_requirement)",
                expected="ANY, ENV_VAR or FILE",
                actual=repr(self.mount_requirement),
            ) from error
        if self.scheme is not None and not _SCHEME.fullmatch(need_text(self.scheme, "Secret(scheme)")):
            raise DefinitionError(
                "this is not the name of a provider of secrets",
                place="Secret(scheme)",
                expected="a scheme such as env, file or keyring",
                actual=repr(self.scheme),
            )
        if self.env_var is None:
            return
        if not _VARIABLE.fullmatch(need_text(self.env_var, "Secret(env_var)")):
            raise DefinitionError(
                "env_var must be able to name an environment variable",
                place="Secret(env_var)",
                expected="letters, digits and _, not starting with a digit",
                actual=repr(self.env_var),
            )
        if self.mount_requirement is SecretMount.FILE:
            raise DefinitionError(
                "a secret that must be a file has no environment variable",
                place="Secret(env_var)",
                expected="mount_requirement ANY or ENV_VAR",
                actual="FILE",
            )
