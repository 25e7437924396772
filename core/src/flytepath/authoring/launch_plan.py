"""Launch plans: a workflow with some inputs given, and when and how it is to be run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flytepath.authoring.entity import Entity
from flytepath.authoring.reference import ReferenceEntity
from flytepath.authoring.signature import REQUIRED
from flytepath.authoring.workflow import Workflow
from flytepath.errors import DefinitionError, LaunchPlanError, TypeTransformerFailedError

if TYPE_CHECKING:
    from flytepath.authoring.declared.notifications import Notification
    from flytepath.authoring.declared.options import Annotations, ConcurrencyPolicy, Labels, RawOutputDataConfig
    from flytepath.authoring.declared.schedules import CronSchedule, FixedRate

_plans: dict[str, LaunchPlan] = {}
_SETTINGS = (
    *("schedule", "notifications", "labels", "annotations", "raw_output_data_config", "max_parallelism"),
    *("security_context", "overwrite_cache", "auto_activate", "concurrency"),
)


class LaunchPlan(Entity):
    """A workflow that is ready to be run: with fixed inputs, defaults, a schedule, notifications.

    Make one with :meth:`create` or :meth:`get_or_create`. Called, it runs its workflow.

    Attributes:
        workflow: the workflow.
        fixed_inputs: inputs nobody can change.
        settings: schedule, notifications and the like, by the names of :meth:`create`.

    Example:
        >>> from flytepath import LaunchPlan, task, workflow
        >>> @task
        ... def add(x: int, y: int) -> int:
        ...     return x + y
        >>> @workflow
        ... def total(x: int, y: int) -> int:
        ...     return add(x=x, y=y)
        >>> plan = LaunchPlan.get_or_create(total, "add_ten", fixed_inputs={"y": 10})
        >>> plan(x=1)
        11
    """

    holds_nodes = True

    def __init__(
        self,
        name: str,
        workflow: Workflow,
        default_inputs: Mapping[str, Any] | None = None,
        fixed_inputs: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        _check_workflow(workflow, name)
        if not isinstance(name, str) or not name:
            raise LaunchPlanError("a launch plan needs a name", place="LaunchPlan(name)", actual=repr(name))
        defaults, fixed = dict(default_inputs or {}), dict(fixed_inputs or {})
        for what, given in (("default_inputs", defaults), ("fixed_inputs", fixed)):
            for key, value in given.items():
                given[key] = _checked(name, workflow, what, key, value)
        both = defaults.keys() & fixed.keys()
        if both:
            raise LaunchPlanError(
                f"input {min(both)!r} is fixed and has a default", place=f"{name}({min(both)})", hint="take one away"
            )
        self.workflow = workflow
        self.fixed_inputs = fixed
        self.default_inputs = defaults
        self.settings = _read_settings(name, settings)
        inputs = {key: t for key, t in workflow.inputs.items() if key not in fixed}
        merged = {key: defaults.get(key, workflow.defaults.get(key, REQUIRED)) for key in inputs}
        super().__init__(name, inputs, workflow.outputs, merged, workflow.output_tuple)
        self._check_schedule()

    def _check_schedule(self) -> None:
        schedule = self.settings.get("schedule")
        if schedule is None:
            return
        from flytepath.model.fitting import fits
        from flytepath.model.types import LiteralType

        kickoff = getattr(schedule, "kickoff_time_input_arg", None)
        if kickoff and kickoff not in self.inputs:
            raise LaunchPlanError(
                f"the schedule gives its time to an input {kickoff!r} that is not open",
                place=f"{self.name}(schedule)",
                expected=", ".join(self.inputs) or "an input that is neither fixed nor missing",
            )
        if kickoff:
            declared = self.input_codecs[kickoff].literal_type
            if not fits(LiteralType("datetime"), declared):
                raise LaunchPlanError(
                    f"the schedule gives its time to an input {kickoff!r} that is no datetime",
                    place=f"{self.name}({kickoff})",
                    expected="datetime.datetime",
                    actual=str(declared),
                )
        missing = [key for key, value in self.defaults.items() if value is REQUIRED and key != kickoff]
        if missing:
            raise LaunchPlanError(
                f"nobody gives a scheduled run its input {missing[0]!r}",
                place=f"{self.name}({missing[0]})",
                hint="fix it, or give it a default",
            )

    @property
    def workflow_inside(self) -> Workflow | None:
        """The one it runs."""
        return self.workflow.workflow_inside

    @property
    def schedule(self) -> CronSchedule | FixedRate | None:
        """When it runs by itself."""
        return self.settings.get("schedule")

    @property
    def notifications(self) -> tuple[Notification, ...]:
        """Who is told."""
        return tuple(self.settings.get("notifications", ()))

    def run_here(self, inputs: dict[str, Any]) -> Any:
        """Run the workflow in this process, with the fixed inputs."""
        if self.stand_in is not None:
            return self.answered(inputs)
        given = {**inputs, **self.fixed_inputs}
        return self.workflow.run_here({key: given[key] for key in self.workflow.inputs})

    @classmethod
    def create(
        cls,
        name: str,
        workflow: Workflow,
        default_inputs: Mapping[str, Any] | None = None,
        fixed_inputs: Mapping[str, Any] | None = None,
        schedule: CronSchedule | FixedRate | None = None,
        notifications: Sequence[Notification] | None = None,
        labels: Labels | None = None,
        annotations: Annotations | None = None,
        raw_output_data_config: RawOutputDataConfig | None = None,
        max_parallelism: int | None = None,
        security_context: Any = None,
        auth_role: Any = None,
        trigger: Any = None,
        overwrite_cache: bool | None = None,
        auto_activate: bool = False,
        concurrency: ConcurrencyPolicy | None = None,
    ) -> LaunchPlan:
        """A new launch plan.

        Args:
            name: unique in its project and domain.
            workflow: what it runs.
            default_inputs: in place of the workflow's own defaults.
            fixed_inputs: cannot be changed by whoever runs it.
            schedule: when it runs by itself.
            notifications: who is told how a run ended.
            labels, annotations: of its executions.
            raw_output_data_config: where files go that outlive the run.
            max_parallelism: how many of its nodes run at once.
            security_context: whose identity its tasks use on a backend.
            overwrite_cache: whether its runs compute everything anew.
            auto_activate: whether registering it turns its schedule on.
            concurrency: how many runs may overlap, and what happens to others.

        Raises:
            LaunchPlanError: the name is taken, an input is not the workflow's or of another type.
        """
        if auth_role is not None or trigger is not None:
            which = "auth_role" if auth_role is not None else "trigger"
            raise LaunchPlanError(f"a launch plan has no {which}", place=f"{name}({which})")
        given = {
            "schedule": schedule,
            "notifications": notifications,
            "labels": labels,
            "annotations": annotations,
            "raw_output_data_config": raw_output_data_config,
            "max_parallelism": max_parallelism,
            "security_context": security_context,
            "overwrite_cache": overwrite_cache,
            "auto_activate": auto_activate or None,
            "concurrency": concurrency,
        }
        made = cls(name, workflow, default_inputs, fixed_inputs, **given)
        if name in _plans and not _is_defined_again(_plans[name], made):
            raise LaunchPlanError(
                f"there is a launch plan {name!r} already", place=name, hint="use LaunchPlan.get_or_create"
            )
        _plans[name] = made
        return made

    @classmethod
    def get_or_create(
        cls,
        workflow: Workflow,
        name: str | None = None,
        default_inputs: Mapping[str, Any] | None = None,
        fixed_inputs: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> LaunchPlan:
        """The launch plan of this name, made if it is new; without a name, the workflow's default launch plan.

        Raises:
            LaunchPlanError: there is one of this name with other values.
        """
        given = [key for key, value in settings.items() if value is not None]
        if name is None:
            if given or default_inputs or fixed_inputs:
                raise LaunchPlanError(
                    "a launch plan with values of its own needs a name", place=f"LaunchPlan of {workflow.name}"
                )
            return cls.get_default_launch_plan(workflow)
        _read_settings(name, settings)
        known = _plans.get(name)
        if known is None:
            return cls.create(name, workflow, default_inputs, fixed_inputs, **settings)
        other = cls(name, workflow, default_inputs, fixed_inputs, **settings)
        if _is_defined_again(known, other):
            _plans[name] = other
            return other
        differing = known.differences(other)
        if differing:
            raise LaunchPlanError(
                f"there is a launch plan {name!r} with other values",
                place=name,
                expected=f"the same {', '.join(differing)}",
                hint="give it another name",
            )
        return known

    @classmethod
    def get_default_launch_plan(cls, *arguments: Any) -> LaunchPlan:
        """The launch plan every workflow has: its own name, nothing fixed. A flytekit context before it is ignored."""
        workflow: Workflow = arguments[-1]
        _check_workflow(workflow, "LaunchPlan")
        known = _plans.get(workflow.name)
        if known is None or known.workflow is not workflow:
            options = getattr(workflow, "options", None)
            shared = {key: getattr(options, key, None) for key in ("labels", "annotations", "max_parallelism")}
            known = _plans[workflow.name] = cls(workflow.name, workflow, **(shared if options is not None else {}))
        return known

    def differences(self, other: LaunchPlan) -> list[str]:
        """What of this launch plan is not as in the other."""
        names = [name for name in _SETTINGS if self.settings.get(name) != other.settings.get(name)]
        if self.workflow is not other.workflow:
            names.insert(0, "workflow")
        return names + [
            name for name in ("default_inputs", "fixed_inputs") if not _same(getattr(self, name), getattr(other, name))
        ]

    @classmethod
    def clear_cache(cls) -> None:
        """Forget every launch plan of this process; for tests and notebooks that define them again."""
        _plans.clear()

    def __repr__(self) -> str:
        return f"<launch plan {self.name} of {self.workflow.name}>"


def _is_defined_again(known: LaunchPlan, other: LaunchPlan) -> bool:
    """Whether only the workflow is another object of the same name: its module, or notebook cell, was run again."""
    return known.differences(other) == ["workflow"] and known.workflow.name == other.workflow.name


def _check_workflow(workflow: Any, place: str) -> None:
    is_reference = isinstance(workflow, ReferenceEntity) and workflow.kind == "workflow"
    if not isinstance(workflow, Workflow) and not is_reference:
        raise LaunchPlanError(
            "a launch plan is of a workflow",
            place=place,
            actual=repr(workflow)[:100],
            hint="call the task in a workflow" if isinstance(workflow, Entity) else None,
        )


def _checked(name: str, workflow: Entity, what: str, key: str, value: Any) -> Any:
    if key not in workflow.inputs:
        raise LaunchPlanError(
            f"workflow {workflow.name} has no input {key!r}",
            place=f"{name}({what}[{key!r}])",
            expected=", ".join(workflow.inputs) or "no inputs",
        )
    try:
        return workflow.input_codecs[key].isolate(value)
    except FileNotFoundError:
        return value  # it may lie only where runs are started
    except TypeTransformerFailedError as error:
        raise LaunchPlanError(
            f"the value of input {key!r} is not of its type: {error.message}",
            place=f"{name}({what}[{key!r}]{error.place or ''})",
            expected=error.expected,
            actual=error.actual,
        ) from error


def _read_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    from flytepath.authoring.declared.notifications import Notification
    from flytepath.authoring.declared.options import Annotations, ConcurrencyPolicy, Labels
    from flytepath.authoring.declared.schedules import CronSchedule, FixedRate

    kinds = {
        "schedule": (CronSchedule, FixedRate),
        "labels": (Labels,),
        "annotations": (Annotations,),
        "concurrency": (ConcurrencyPolicy,),
        "overwrite_cache": (bool,),
        "auto_activate": (bool,),
    }
    given = {key: value for key, value in settings.items() if value is not None}
    for key, value in given.items():
        if key not in _SETTINGS:
            raise LaunchPlanError(
                f"a launch plan has no {key!r}", place=f"{name}({key})", expected=", ".join(_SETTINGS)
            )
        if key in kinds and not isinstance(value, kinds[key]):
            expected = " or ".join(kind.__name__ for kind in kinds[key])
            raise LaunchPlanError(
                f"{key} is of another kind", place=f"{name}({key})", expected=expected, actual=repr(value)
            )
    if "notifications" in given:
        given["notifications"] = tuple(given["notifications"])
        if not all(isinstance(item, Notification) for item in given["notifications"]):
            raise LaunchPlanError("notifications are Email, Slack or PagerDuty", place=f"{name}(notifications)")
    parallel = given.get("max_parallelism")
    if parallel is not None and (type(parallel) is not int or parallel < 0):
        raise LaunchPlanError(
            "max_parallelism is a whole number", place=f"{name}(max_parallelism)", actual=repr(parallel)
        )
    return given


def _same(left: Any, right: Any) -> bool:
    """Whether two dicts of inputs hold the same values; values without a plain equality count as different."""
    if left.keys() != right.keys():
        return False
    try:
        return all(bool(left[key] == right[key]) and type(left[key]) is type(right[key]) for key in left)
    except (ValueError, TypeError, DefinitionError):
        return False
