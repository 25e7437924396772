"""``SnowflakeTask``: a query as a task, with inputs that are bound parameters, and its task type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from flytepath import SQLTask
from flytepath.plugin import DefinitionError, TaskDeclaration, TaskType, compile_sql

from flyte_plugin_snowflake.configuration import SnowflakeConfig

Json = Any
#: Kinds of values that Snowflake has no parameters for.
_REFUSED = {"timedelta": "seconds as a number, and dateadd(second, {{ .inputs.x }}, ...)"}


class SnowflakeTaskType(TaskType):
    """Runs at Snowflake and nowhere else: a direct call submits the query too."""

    local_fidelity: ClassVar[Literal["full", "emulated", "unsupported"]] = "unsupported"

    def compile(self, declaration: TaskDeclaration) -> Json:
        config: SnowflakeConfig = declaration.config
        place = f"{declaration.name}(query_template)"
        statement = compile_sql(declaration.source, declaration.inputs, declaration.python_inputs, place)
        for name, kind in declaration.inputs.items():
            if kind.kind in _REFUSED:
                raise DefinitionError(
                    f"Snowflake has no parameters of type {kind}",
                    place=f"{declaration.name}({name})",
                    expected=_REFUSED[kind.kind],
                    actual=str(kind),
                )
        outputs = {name: kind.to_json() for name, kind in declaration.outputs.items()}
        if len(outputs) > 1 or any(kind.kind != "dataframe" for kind in declaration.outputs.values()):
            raise DefinitionError(
                "the result of a query is one frame",
                place=f"{declaration.name}(output_schema_type)",
                expected="StructuredDataset, pandas.DataFrame, polars.DataFrame, pyarrow.Table, or nothing",
                actual=", ".join(str(kind) for kind in declaration.outputs.values()),
            )
        return {"config": config.to_json(), "query": statement.to_json(), "outputs": outputs}


class SnowflakeTask(SQLTask):
    """A query at Snowflake. Assign it to a module variable.

    Args:
        name: the task's name, unique in its project.
        query_template: one statement or several, with ``{{ .inputs.x }}`` where values go. A value travels beside the
            text as a bound parameter. The result is the one of the last statement.
        task_config: where it runs; without one all of it comes from the settings of the backend.
        inputs: types by name.
        output_schema_type: the type of the output ``results``; without it the task has no output.
        **kwargs: as for ``task``: ``retries``, ``timeout``, ``cache``, ...

    Raises:
        DefinitionError: a template in a string or comment, an input that no parameter carries, a result that is no
            frame.

    Example:
        >>> from flytepath import StructuredDataset, kwtypes
        >>> orders = SnowflakeTask(
        ...     name="orders",
        ...     query_template="select * from orders where total > {{ .inputs.least }}",
        ...     task_config=SnowflakeConfig(account="acme-eu", user="ETL", database="SALES", warehouse="SMALL"),
        ...     inputs=kwtypes(least=float),
        ...     output_schema_type=StructuredDataset,
        ... )
        >>> orders.get_query(least=10.0)
        'select * from orders where total > :least'
    """

    def __init__(
        self,
        name: str,
        query_template: str,
        task_config: SnowflakeConfig | None = None,
        inputs: Mapping[str, Any] | None = None,
        output_schema_type: Any = None,
        **kwargs: Any,
    ) -> None:
        if task_config is not None and not isinstance(task_config, SnowflakeConfig):
            raise DefinitionError(
                "a SnowflakeTask has a SnowflakeConfig",
                place=f"{name}(task_config)",
                expected="SnowflakeConfig(...)",
                actual=repr(task_config),
            )
        super().__init__(
            name=name,
            query_template=query_template,
            task_config=task_config or SnowflakeConfig(),
            task_type="snowflake",
            inputs=inputs,
            output_schema_type=output_schema_type,
            **kwargs,
        )
        SnowflakeTaskType().compile(self.declaration())
