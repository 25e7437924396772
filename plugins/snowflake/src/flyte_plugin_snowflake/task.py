"""``SnowflakeTask``: a query as a task, with inputs that are bound parameters, and its task type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from flytepath import SQLTask
from flytepath.plugin import FlytePathError, TaskDeclaration, TaskType, compile_sql, render_sql

from flyte_plugin_snowflake.configuration import SnowflakeConfig
from flyte_plugin_snowflake.errors import SnowflakeTaskError

Json = Any
#: Kinds of values that Snowflake has no parameters for.
_REFUSED: Final = {"timedelta": "seconds as a number, and dateadd(second, {{ .inputs.x }}, ...)"}
#: How flytekit's own queries name their inputs.
_PYFORMAT: Final = re.compile(r"%\((\w+)\)s")


class SnowflakeTaskType(TaskType):
    """Runs at Snowflake and nowhere else: a direct call submits the query too."""

    local_fidelity: ClassVar[Literal["full", "emulated", "unsupported"]] = "unsupported"

    def compile(self, declaration: TaskDeclaration) -> Json:
        config: SnowflakeConfig = declaration.config
        place = f"{declaration.name}(query_template)"
        statement = compile_sql(declaration.source, declaration.inputs, declaration.python_inputs, place)
        for name, kind in declaration.inputs.items():
            inside = kind.items[0] if kind.kind in ("list", "tuple", "set", "frozenset") else kind
            if inside.kind in _REFUSED:
                raise SnowflakeTaskError(
                    f"Snowflake has no parameters of type {kind}",
                    place=f"{declaration.name}({name})",
                    expected=_REFUSED[inside.kind],
                    actual=str(kind),
                )
        if not statement.count:
            raise SnowflakeTaskError("the query holds no statement", place=place, expected="SQL beside the comments")
        _check_marks(statement, place)
        outputs = {name: kind.to_json() for name, kind in declaration.outputs.items()}
        if len(outputs) > 1 or any(kind.kind != "dataframe" for kind in declaration.outputs.values()):
            raise SnowflakeTaskError(
                "the result of a query is one frame",
                place=f"{declaration.name}(output_schema_type)",
                expected="StructuredDataset, pandas.DataFrame, polars.DataFrame, pyarrow.Table, or nothing",
                actual=", ".join(str(kind) for kind in declaration.outputs.values()),
            )
        if config.result == "reference" and not outputs:
            raise SnowflakeTaskError(
                "a task without an output has no result to refer to",
                place=f"{declaration.name}(task_config)",
                hint="give output_schema_type=StructuredDataset, or take result='reference' away",
            )
        return {"config": config.to_json(), "query": statement.to_json(), "outputs": outputs}


def _check_marks(statement: Any, place: str) -> None:
    """What would be refused of the text when it runs is refused now, with something in place of values."""
    stand_ins = {
        piece.name: "x" if piece.kind == "identifier" else [None] if piece.kind == "list" else None
        for piece in statement.pieces
        if not isinstance(piece, str)
    }
    try:
        render_sql(statement, stand_ins, "qmark")
    except FlytePathError as error:
        raise SnowflakeTaskError(error.message, place=place, hint=error.hint) from None


class SnowflakeTask(SQLTask):
    """A query at Snowflake. Assign it to a module variable.

    Args:
        name: the task's name, unique in its project.
        query_template: one statement or several, with ``{{ .inputs.x }}`` where values go (``%(x)s`` is the same, as in
            flytekit). A value travels beside the text as a bound parameter. The result is the one of the last
            statement; several run one after the other in a session of their own.
        task_config: where it runs; without one all of it comes from the settings of the backend.
        inputs: types by name.
        output_schema_type: the type of the output ``results``; without it the task has no output.
        **kwargs: as for ``task``: ``retries``, ``timeout``, ``cache``, ...

    Raises:
        SnowflakeTaskError: an input that no parameter carries, a result that is no frame.
        DefinitionError: a template in a string or comment, an input that is not there or not used.

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
            raise SnowflakeTaskError(
                "a SnowflakeTask has a SnowflakeConfig",
                place=f"{name}(task_config)",
                expected="SnowflakeConfig(...)",
                actual=type(task_config).__name__,
            )
        if isinstance(query_template, str):
            query_template = _with_braces(query_template, inputs or {})
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


def _with_braces(template: str, inputs: Mapping[str, Any]) -> str:
    """``%(x)s`` of an input as ``{{ .inputs.x }}``; of anything else it is text."""
    return _PYFORMAT.sub(
        lambda found: f"{{{{ .inputs.{found.group(1)} }}}}" if found.group(1) in inputs else found.group(0), template
    )
