"""``SQLTask``: a query as a task, with inputs that reach the database as parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flytepath.authoring.task import PythonInstanceTask
from flytepath.errors import DefinitionError
from flytepath.plugin.sql import Statement, compile_sql, render_sql
from flytepath.plugin.task_type import TaskType

if TYPE_CHECKING:
    from flytepath.plugin.task_type import CallBody, Json, TaskContext, TaskDeclaration


@dataclass(frozen=True, slots=True)
class SQLConfig:
    """What selects the task type of a :class:`SQLTask` that has no other ``task_config``: no database at all."""

    task_type: str = "sql_task"


class SQLTaskType(TaskType):
    """A query for nobody in particular: it compiles, so that workflows can be drawn and checked, and does not run."""

    def compile(self, declaration: TaskDeclaration) -> Json:
        return compile_sql(declaration.source, declaration.inputs, declaration.python_inputs).to_json()

    def execute(self, context: TaskContext, inputs: Mapping[str, Any], call_body: CallBody) -> Any:
        raise DefinitionError(
            f"task {context.declaration.name} has a query and no database to ask",
            place=context.declaration.name,
            expected="a task_config that names a database",
            hint="use SQLite3Task, or the configuration of a database plugin as task_config",
        )


class SQLTask(PythonInstanceTask):
    """A query as a task. Assign it to a module variable, that is how a worker finds it.

    ``{{ .inputs.x }}`` in the query becomes a parameter, ``:x``: the value goes to the database beside the query and is
    never written into it. Write no quotes around it. A ``list`` becomes as many parameters: ``in {{ .inputs.ids }}``.
    An input of type :data:`~flytepath.Identifier` is the name of a table or column.

    Args:
        name: the task's name, unique in its project.
        query_template: the query.
        task_config: which database: a plugin's configuration.
        task_type: a word for people; what runs the query is decided by ``task_config``.
        inputs: types by name, or pairs of type and default.
        outputs: types by name.
        output_schema_type: in place of ``outputs``, the type of one output called ``results``.
        **kwargs: as for ``task``: ``retries``, ``timeout``, ``cache``, ...

    Raises:
        DefinitionError: a template that names no input, or stands in a string, a quoted name or a comment; an input
            that the query does not use, or whose values no database driver carries.

    Example:
        >>> from flytepath import kwtypes
        >>> adults = SQLTask(
        ...     name="adults",
        ...     query_template="select name from people where age >= {{ .inputs.age }}",
        ...     inputs=kwtypes(age=int),
        ...     outputs=kwtypes(results=list[str]),
        ... )
        >>> adults.statement.text
        'select name from people where age >= :age'
    """

    body = "sql"

    def __init__(
        self,
        name: str,
        query_template: str,
        task_config: Any = None,
        task_type: str = "sql_task",
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        output_schema_type: Any = None,
        **kwargs: Any,
    ) -> None:
        if outputs is not None and output_schema_type is not None:
            raise DefinitionError(
                "outputs and output_schema_type say the same", place=f"{name}(outputs)", expected="one of the two"
            )
        if output_schema_type is not None:
            outputs = {"results": output_schema_type}
        self.source = query_template
        super().__init__(
            name=name,
            task_config=task_config if task_config is not None else SQLConfig(task_type),
            inputs=inputs,
            outputs=outputs,
            task_type=task_type,
            **kwargs,
        )
        self.statement: Statement = self._compiled()

    def _compiled(self) -> Statement:
        declaration = self.declaration()
        place = f"{self.name}(query_template)"
        return compile_sql(declaration.source, declaration.inputs, declaration.python_inputs, place)

    @property
    def query_template(self) -> str:
        """The query as it was written."""
        return self.source

    def get_query(self, **inputs: Any) -> str:
        """The query for some inputs as it is sent, with ``:x`` where the database puts the value of ``x``."""
        bound = self.bind((), inputs)
        return render_sql(self.statement, bound, "named").text
