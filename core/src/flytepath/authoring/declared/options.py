"""What is said about an execution when it is started, and about a workflow as a whole."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from flytepath.authoring.declared.notifications import Notification
from flytepath.errors import DefinitionError
from flytepath.model.declared import (
    Declared,
    need_count,
    need_flag,
    need_instance,
    need_optional_text,
    need_text_map,
    set_field,
)
from flytepath.model.secret import Secret


class WorkflowFailurePolicy(enum.Enum):
    """What the failure of a node means for the others; the values are those of compiled workflows.

    Example:
        >>> WorkflowFailurePolicy.FAIL_IMMEDIATELY.value
        'fail_immediately'
    """

    FAIL_IMMEDIATELY = "fail_immediately"
    FAIL_AFTER_EXECUTABLE_NODES_COMPLETE = "fail_after_executable_nodes_complete"


class ConcurrencyLimitBehavior(enum.IntEnum):
    """What happens to an execution that would be one too many."""

    SKIP = 1


@dataclass(frozen=True, slots=True)
class ConcurrencyPolicy(Declared):
    """How many executions of one launch plan may run at a time.

    Args:
        max_concurrency: the limit, from 1.
        behavior: what happens to one too many; it is skipped.

    Raises:
        DefinitionError: a limit below 1, or an unknown behaviour.

    Example:
        >>> ConcurrencyPolicy(max_concurrency=2).to_json()
        {'max_concurrency': 2}
    """

    max_concurrency: int
    behavior: ConcurrencyLimitBehavior = ConcurrencyLimitBehavior.SKIP

    def __post_init__(self) -> None:
        need_count(self.max_concurrency, "ConcurrencyPolicy(max_concurrency)", least=1)
        behavior: Any = ConcurrencyLimitBehavior.SKIP if self.behavior is None else self.behavior
        try:
            set_field(self, "behavior", ConcurrencyLimitBehavior(behavior))
        except ValueError as error:
            raise DefinitionError(
                "behavior is one of ConcurrencyLimitBehavior",
                place="ConcurrencyPolicy(behavior)",
                expected=", ".join(known.name for known in ConcurrencyLimitBehavior),
                actual=repr(self.behavior),
            ) from error


@dataclass(frozen=True, slots=True, unsafe_hash=False)
class _Texts(Declared):
    values: Mapping[str, str]

    def __post_init__(self) -> None:
        set_field(self, "values", need_text_map(self.values, f"{type(self).__name__}(values)"))

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.values.items())))


class Labels(_Texts):
    """Labels of an execution: what it can be found by.

    Raises:
        DefinitionError: a key or a value that is not text.

    Example:
        >>> Labels({"team": "vision"}).values
        {'team': 'vision'}
    """

    __slots__ = ()


class Annotations(_Texts):
    """Annotations of an execution: what is kept with it.

    Raises:
        DefinitionError: a key or a value that is not text.

    Example:
        >>> Annotations({"ticket": "ML-7"}).to_json()
        {'values': {'ticket': 'ML-7'}}
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RawOutputDataConfig(Declared):
    """Where files and frames of an execution are kept: the prefix of their URIs."""

    output_location_prefix: str | None = None

    def __post_init__(self) -> None:
        need_optional_text(self.output_location_prefix, "RawOutputDataConfig(output_location_prefix)")


@dataclass(frozen=True, slots=True)
class RunAs(Declared):
    """Whose rights an execution has.

    Args:
        iam_role: a role of the cloud.
        k8s_service_account: a service account of the cluster.
    """

    iam_role: str | None = None
    k8s_service_account: str | None = None

    def __post_init__(self) -> None:
        need_optional_text(self.iam_role, "RunAs(iam_role)")
        need_optional_text(self.k8s_service_account, "RunAs(k8s_service_account)")


@dataclass(frozen=True, slots=True)
class SecurityContext(Declared):
    """Whose rights an execution has, and the secrets it asks for."""

    run_as: RunAs | None = None
    secrets: Sequence[Secret] = ()

    def __post_init__(self) -> None:
        need_instance(self.run_as, RunAs, "SecurityContext(run_as)")
        set_field(self, "secrets", tuple(self.secrets or ()))
        for secret in self.secrets:
            if not isinstance(secret, Secret):
                raise DefinitionError(
                    "secrets takes a list of Secret(...)", place="SecurityContext(secrets)", actual=repr(secret)
                )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of ``to_json``."""
        run_as = data.get("run_as")
        return cls(
            None if run_as is None else RunAs.from_json(run_as),
            tuple(Secret.from_json(secret) for secret in data.get("secrets", ())),
        )


@dataclass(frozen=True, slots=True)
class Options(Declared):
    """What may be said when an execution is started, or kept with a launch plan.

    Args:
        labels: what the execution can be found by; a dict will do.
        annotations: what is kept with it; a dict will do.
        raw_output_data_config: where its files are kept; the prefix as text will do.
        security_context: whose rights it has.
        max_parallelism: how many nodes may run at a time; no limit without it.
        notifications: who is told when it ends.
        disable_notifications: tell nobody, whatever the launch plan says.
        overwrite_cache: run cached tasks again and keep the new results.

    Raises:
        DefinitionError: an argument of the wrong kind.

    Example:
        >>> options = Options(labels={"team": "vision"}, max_parallelism=4)
        >>> options.to_json()
        {'labels': {'values': {'team': 'vision'}}, 'max_parallelism': 4}
        >>> Options.from_json(options.to_json()) == options
        True
    """

    labels: Labels | Mapping[str, str] | None = None
    annotations: Annotations | Mapping[str, str] | None = None
    raw_output_data_config: RawOutputDataConfig | str | None = None
    security_context: SecurityContext | None = None
    max_parallelism: int | None = None
    notifications: Sequence[Notification] | None = None
    disable_notifications: bool | None = None
    overwrite_cache: bool | None = None

    def __post_init__(self) -> None:
        for name, kind in (("labels", Labels), ("annotations", Annotations)):
            value = getattr(self, name)
            if isinstance(value, Mapping):
                set_field(self, name, kind(value))
            need_instance(getattr(self, name), kind, f"Options({name})")
        if isinstance(self.raw_output_data_config, str):
            set_field(self, "raw_output_data_config", RawOutputDataConfig(self.raw_output_data_config))
        need_instance(self.raw_output_data_config, RawOutputDataConfig, "Options(raw_output_data_config)")
        need_instance(self.security_context, SecurityContext, "Options(security_context)")
        if self.max_parallelism is not None:
            need_count(self.max_parallelism, "Options(max_parallelism)", least=0)
        for name in ("disable_notifications", "overwrite_cache"):
            if getattr(self, name) is not None:
                need_flag(getattr(self, name), f"Options({name})")
        self._check_notifications()

    def _check_notifications(self) -> None:
        given = self.notifications
        if given is None:
            return
        if not isinstance(given, list | tuple) or not all(isinstance(one, Notification) for one in given):
            raise DefinitionError(
                "notifications takes a list of Email, Slack or PagerDuty",
                place="Options(notifications)",
                expected="list[Notification]",
                actual=repr(given),
            )
        if given and self.disable_notifications:
            raise DefinitionError(
                "notifications are given and disabled at once",
                place="Options(disable_notifications)",
                expected="one of notifications and disable_notifications",
            )
        set_field(self, "notifications", tuple(given))

    @classmethod
    def default_from(cls, k8s_service_account: str | None = None, raw_data_prefix: str | None = None) -> Self:
        """Options with a service account and a place for files, where they are given."""
        return cls(
            security_context=SecurityContext(RunAs(k8s_service_account=k8s_service_account))
            if k8s_service_account
            else None,
            raw_output_data_config=RawOutputDataConfig(raw_data_prefix) if raw_data_prefix else None,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of ``to_json``."""
        known = dict(data)
        kinds: tuple[tuple[str, type[Declared]], ...] = (
            ("labels", Labels),
            ("annotations", Annotations),
            ("raw_output_data_config", RawOutputDataConfig),
            ("security_context", SecurityContext),
        )
        for name, kind in kinds:
            if known.get(name) is not None:
                known[name] = kind.from_json(known[name])
        if known.get("notifications") is not None:
            known["notifications"] = [Notification.from_json(one) for one in known["notifications"]]
        return super(Options, cls).from_json(known)
