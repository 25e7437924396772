"""The Spark task: its configuration, and the task type that opens a session around the user's function."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from flytepath import PodTemplate
from flytepath.plugin import DefinitionError, LiteralType, TaskContext, TaskDeclaration, TaskType

from flyte_plugin_spark.configuration import DRIVER_PYTHON, PYTHON, check_spark_conf, read_conf

NAME: Final = "spark"
#: What a direct call's execution is named.
_LOCAL: Final = "local"


@dataclass(frozen=True, slots=True)
class Spark:
    """Gives a task a Spark session, at ``current_context().spark_session``.

    Args:
        spark_conf: settings of Spark. ``spark.master`` says where executors are (``local[*]`` by default: in this
            process), ``spark.remote`` names a Connect server (``sc://host:15002``).
        hadoop_conf: settings of Hadoop, as for the file systems that frames lie on.
        executor_path: the Python interpreter on the executors' machines, where it is not at the same path as here.
        applications_path: on Kubernetes, the file in the image that the driver runs, in place of the one configured.
        driver_pod, executor_pod: on Kubernetes, what the pods have beyond what the task says.

    Raises:
        DefinitionError: a setting is no text, contradicts another, or can never take effect.

    Example:
        >>> from flytepath import task, current_context
        >>> @task(task_config=Spark(spark_conf={"spark.sql.shuffle.partitions": "4"}))
        ... def count_to(limit: int) -> int:
        ...     return current_context().spark_session.range(limit).count()
    """

    spark_conf: Mapping[str, str] = field(default_factory=dict)
    hadoop_conf: Mapping[str, str] = field(default_factory=dict)
    executor_path: str | None = None
    applications_path: str | None = None
    driver_pod: PodTemplate | None = None
    executor_pod: PodTemplate | None = None

    def __post_init__(self) -> None:
        conf = read_conf(self.spark_conf, "Spark(spark_conf)")
        hadoop = read_conf(self.hadoop_conf, "Spark(hadoop_conf)")
        check_spark_conf(conf, hadoop, "Spark")
        object.__setattr__(self, "spark_conf", conf)
        object.__setattr__(self, "hadoop_conf", hadoop)
        for name in ("executor_path", "applications_path"):
            self._check_path(name)
        for name in ("driver_pod", "executor_pod"):
            pod = getattr(self, name)
            if pod is not None and not isinstance(pod, PodTemplate):
                raise DefinitionError(
                    f"{name} is a pod template",
                    place=f"Spark({name})",
                    expected="PodTemplate(pod_spec=...)",
                    actual=repr(pod)[:200],
                    hint="a V1PodSpec, or a dict of one, goes into PodTemplate(pod_spec=...)",
                )
        python = conf.get(PYTHON)
        if self.executor_path and python and python != self.executor_path:
            raise DefinitionError(
                "the executors have one Python",
                place="Spark(executor_path)",
                expected="executor_path or spark.pyspark.python",
                actual=f"{self.executor_path} and {python}",
            )
        if DRIVER_PYTHON in conf:
            raise DefinitionError(
                "the driver is the task's own process, with its own Python",
                place=f"Spark(spark_conf['{DRIVER_PYTHON}'])",
                actual=conf[DRIVER_PYTHON],
                hint=f"leave it out; {PYTHON} says that of the executors",
            )

    def _check_path(self, name: str) -> None:
        value = getattr(self, name)
        if value is None or (isinstance(value, str) and value and value == value.strip()):
            return
        raise DefinitionError(
            f"{name} is a path", place=f"Spark({name})", expected="a path, or None", actual=repr(value)[:200]
        )


class SparkTaskType(TaskType):
    """Runs :class:`Spark` tasks: the same code in a direct call, in a worker and in a driver's pod."""

    local_fidelity: ClassVar[Any] = "full"

    def compile(self, declaration: TaskDeclaration) -> dict[str, Any]:
        """The settings as plain data."""
        config = _config(declaration)
        return {
            "spark_conf": dict(sorted(config.spark_conf.items())),
            "hadoop_conf": dict(sorted(config.hadoop_conf.items())),
            "executor_path": config.executor_path,
            "applications_path": config.applications_path,
            "driver_pod": None if config.driver_pod is None else config.driver_pod.to_json(),
            "executor_pod": None if config.executor_pod is None else config.executor_pod.to_json(),
        }

    @contextmanager
    def around(self, context: TaskContext) -> Iterator[None]:
        """A session from before the inputs are read until after the outputs are written."""
        with _attempt_of(context):
            yield

    def execute(self, context: TaskContext, inputs: Mapping[str, Any], call_body: Any) -> Any:
        """Call the body; what Spark raises is told in a few lines."""
        from flyte_plugin_spark.errors import spark_errors
        from flyte_plugin_spark.frames import attempt

        with spark_errors(context.declaration.name):
            if attempt.get() is not None:
                return call_body(inputs)
            with _attempt_of(context):  # whoever calls this alone, as a test of a task does
                return call_body(inputs)


@contextmanager
def _attempt_of(context: TaskContext) -> Iterator[None]:
    """The session of an attempt, at hand for its code, its inputs and its outputs."""
    from flyte_plugin_spark.archive import ship_code
    from flyte_plugin_spark.errors import spark_errors
    from flyte_plugin_spark.frames import Attempt, attempt
    from flyte_plugin_spark.places import process_folder
    from flyte_plugin_spark.session import Wanted, imports_the_same, session_for

    # What was compiled, not what the module declares: a node may have overridden it.
    config = context.payload or SparkTaskType().compile(context.declaration)
    direct = context.execution_id == _LOCAL
    name = context.declaration.name
    # A session of a direct call may outlive the task, and then asks for what the task gave it.
    scratch = process_folder() if direct else context.working_directory / ".spark"
    wanted = Wanted(
        name=name if direct else f"{name} {context.execution_id}/{context.node_path}#{context.attempt}",
        conf=config["spark_conf"],
        hadoop=config["hadoop_conf"],
        executor_python=config["executor_path"] or config["spark_conf"].get(PYTHON, ""),
        scratch=None if direct else scratch,
    )
    lasting = direct and any(map(_may_hold_frames, context.declaration.outputs.values()))
    try:
        with session_for(wanted, keep=lambda: lasting) as session:
            token = attempt.set(Attempt(session, str(context.raw_output_prefix), scratch))
            try:
                with spark_errors(name):
                    if not imports_the_same(session):
                        ship_code(session, context.code_path, name, scratch)
                    context.attach("spark_session", session)
                    yield
            finally:
                attempt.reset(token)
    finally:
        if not direct:
            shutil.rmtree(scratch, ignore_errors=True)


def _may_hold_frames(t: LiteralType) -> bool:
    """Whether a value of this type may need the session after the task: Spark's frames and models do."""
    if t.kind == "dataframe":
        return not t.format
    inner = (*t.items, *(field.type for field in t.fields))
    return (t.kind == "opaque" and t.format == "spark-pipeline") or any(map(_may_hold_frames, inner))


def _config(declaration: TaskDeclaration) -> Spark:
    config = declaration.config
    if not isinstance(config, Spark):
        raise DefinitionError("a Spark task is configured by Spark", place=declaration.name, actual=repr(config)[:200])
    if declaration.body not in ("function", "notebook"):
        raise DefinitionError(
            "Spark gives a session to Python code",
            place=declaration.name,
            expected="a function",
            actual=f"a task whose body is {declaration.body}",
        )
    return config
