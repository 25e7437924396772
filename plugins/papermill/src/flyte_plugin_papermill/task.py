"""``NotebookTask``: a task whose body is a Jupyter notebook, with inputs as parameters and recorded outputs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flytepath import HTMLPage, PythonInstanceTask, PythonNotebook, current_context
from flytepath.plugin import DefinitionError, TypeTransformerFailedError

from flyte_plugin_papermill.config import NotebookConfig
from flyte_plugin_papermill.crossing import check_crosses, parameters_of
from flyte_plugin_papermill.notebook import canonical_notebook, check_notebook, read_notebook

if TYPE_CHECKING:
    from flytepath import ExecutionContext

    from flyte_plugin_papermill.errors import NotebookError
    from flyte_plugin_papermill.execution import Run

#: The outputs that ``output_notebooks`` adds, by flytekit's names.
EXECUTED: Final = "out_nb"
RENDERED: Final = "out_rendered_nb"
_OF_FILES: Final = re.compile(r"[^A-Za-z0-9._-]+")
#: The module that a worker runs as its main one.
_WORKER: Final = "flytepath.worker.__main__"


class NotebookTask(PythonInstanceTask):
    """A Jupyter notebook as a task. Assign it to a module variable, that is how a worker finds it.

    The notebook is read when the task is defined and travels with it: a changed notebook is a new version of the task,
    and a run goes on after the file has changed or gone. It runs on a copy, in an empty folder of the attempt's own;
    neither it nor its folder is written to.

    Inputs are parameters: the notebook needs a code cell with the tag ``parameters`` that gives them their defaults.
    Numbers, text, lists and dicts come as they are; dates, decimals, UUIDs and enums as their text or value; files and
    directories as paths; frames and everything else as references for :func:`load_dataframe` and :func:`load_value`.
    The notebook gives the outputs with :func:`record_outputs`.

    Args:
        name: the task's name, unique in its project.
        notebook_path: the notebook. A relative path starts in the current folder, or else beside the module.
        render_deck: show the executed notebook as a deck, also if a cell failed.
        stream_logs: what cells print goes to the attempt's log while they run.
        task_config: another task type that is to run the notebook, for example ``Spark`` or ``Pod``; or a
            :class:`NotebookConfig`.
        inputs, outputs: types by name.
        output_notebooks: give the executed notebook and its page as further outputs, ``out_nb`` and
            ``out_rendered_nb``. Without it they are kept all the same.
        kernel_name, engine_name, start_timeout, execution_timeout: as of :class:`NotebookConfig`.
        **kwargs: as for ``task``: ``retries``, ``timeout``, ``requests``, ...

    Raises:
        DefinitionError: the file is no notebook, cannot take the inputs, records what is not declared, names no kernel,
            or a type cannot cross.

    A run raises :class:`NotebookCellError` where a cell raised, and other errors of
    :mod:`flyte_plugin_papermill.errors`.
    """

    body = "notebook"
    source_is_compiled = True

    def __init__(
        self,
        name: str,
        notebook_path: str | os.PathLike[str],
        render_deck: bool = True,
        stream_logs: bool = True,
        task_config: Any = None,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        output_notebooks: bool = True,
        *,
        kernel_name: str | None = None,
        engine_name: str | None = None,
        start_timeout: int = 60,
        execution_timeout: int | None = None,
        **kwargs: Any,
    ) -> None:
        for place, types in (("inputs", inputs), ("outputs", outputs)):
            if types is not None and not isinstance(types, Mapping):
                raise DefinitionError(
                    f"{place} are types by name",
                    place=f"{name}({place})",
                    expected=f"{place}=kwtypes(x=int)",
                    actual=repr(types)[:200],
                )
        if type(render_deck) is not bool:
            raise DefinitionError(
                f"render_deck cannot be {render_deck!r}", place=f"{name}(render_deck)", expected="True or False"
            )
        if isinstance(task_config, NotebookConfig):
            given = {
                "kernel_name": kernel_name,
                "engine_name": engine_name,
                "start_timeout": start_timeout,
                "execution_timeout": execution_timeout,
                "stream_logs": stream_logs,
            }
            usual = NotebookConfig()
            for setting, value in given.items():
                if value not in (getattr(usual, setting), getattr(task_config, setting)):
                    raise DefinitionError(
                        f"{setting} is said twice",
                        place=f"{name}({setting})",
                        expected=f"one of {setting}=... and task_config=NotebookConfig({setting}=...)",
                        actual=f"{value!r} and {getattr(task_config, setting)!r}",
                    )
            self._config = task_config
        else:
            self._config = NotebookConfig(
                kernel_name,
                engine_name,
                start_timeout,
                execution_timeout,
                stream_logs,
                kwargs.get("container_image") is None,
            )
        self._render_deck = render_deck
        self._folder = ""
        declared = dict(outputs or {})
        for implicit, its_type in ((EXECUTED, PythonNotebook), (RENDERED, HTMLPage)) if output_notebooks else ():
            if implicit in declared:
                raise DefinitionError(
                    f"the output {implicit!r} is one that output_notebooks adds",
                    place=f"{name}(outputs.{implicit})",
                    hint="rename it, or say output_notebooks=False",
                )
            declared[implicit] = its_type
        self._recorded = tuple(outputs or {})
        self.source = self._read(name, notebook_path)
        super().__init__(
            name=name,
            task_config=task_config if task_config is not None else self._config,
            inputs=inputs or {},
            outputs=declared,
            **kwargs,
        )
        for place, codecs in (("inputs", self.input_codecs), ("outputs", self.output_codecs)):
            for key, codec in codecs.items():
                check_crosses(codec.literal_type, f"{name}({place}.{key})")
        if self.source:
            check_notebook(
                self.source, name, inputs=self.inputs, outputs=self._recorded, kernel=self._config.kernel_name
            )

    def _read(self, name: str, given: str | os.PathLike[str]) -> str:
        """The notebook; nothing in a worker that has no such file: what was compiled holds it."""
        place = f"{name}(notebook_path)"
        if not isinstance(given, str | os.PathLike):
            raise DefinitionError("the notebook is a file", place=place, expected="a path", actual=repr(given)[:200])
        path = Path(os.fspath(given)).expanduser()
        beside = _calling_folder() / path
        path = path if _is_there(path) or not _is_there(beside) else beside
        if not _is_there(path) and _is_worker():
            return ""
        self._folder = str(path.absolute().parent)
        return read_notebook(path, place)

    def call_body(self, inputs: Mapping[str, Any]) -> Any:
        """Run the notebook in a folder of its own; the outputs it recorded."""
        from flyte_plugin_papermill.errors import NotebookError
        from flyte_plugin_papermill.exchange import write_declared
        from flyte_plugin_papermill.execution import Run, Settings, execute, own_imports
        from flyte_plugin_papermill.keeping import kept_meanwhile

        context = current_context()
        run = Run.below(context.working_directory, self.name)
        kinds = {name: self.output_codecs[name].literal_type.kind for name in self._recorded}
        write_declared(run.exchange, kinds)
        types = {name: codec.literal_type for name, codec in self.input_codecs.items()}
        parameters = parameters_of(inputs, types, self.inputs, run.exchange)
        config = self._config
        if isinstance(self.task_config, NotebookConfig) and context.payload:
            config = NotebookConfig(**context.payload)
        settings = Settings(
            config.kernel_name, config.engine_name, config.start_timeout, config.execution_timeout, config.stream_logs
        )
        folder = (self._folder,) if Path(self._folder).is_dir() else ()
        try:
            source, session = self._source_of(context), _spark_variables(context)
            with kept_meanwhile(
                run, context, name=self._file_name, prefix=context.raw_output_prefix, deck=self._render_deck
            ):
                execute(run, source, parameters, settings, (*folder, *own_imports()), session)
            found = self._outcome(run)
        except NotebookError as error:
            self._keep(run, context, error)
            raise
        except BaseException:
            self._keep(run, context, None, note="It was ended from outside, and did not run to its end.")
            raise
        files = self._keep(run, context, None, succeeded=True)
        values = [found[name] if name in found else files[name] for name in self.outputs]
        if not values:
            return None
        return values[0] if self.has_one_output else tuple(values)

    def _source_of(self, context: ExecutionContext) -> str:
        """The notebook that was compiled, which may be another than the one that lies here now."""
        source = context.declaration.source or self.source
        if not source:
            raise DefinitionError("the notebook is not here, and was not compiled", place=f"{self.name}(notebook_path)")
        return canonical_notebook(source.encode(), "the compiled notebook", self.name)

    def _outcome(self, run: Run) -> dict[str, Any]:
        """What the notebook recorded, checked; or what went wrong."""
        from flyte_plugin_papermill import verdict
        from flyte_plugin_papermill.errors import NotebookIncompleteError
        from flyte_plugin_papermill.exchange import read_recorded

        notebook = run.notebook()
        if notebook is None:
            raise NotebookIncompleteError("the engine left no executed notebook", place=f"{self.name}(engine_name)")
        failure = verdict.failure_of(self.name, notebook)
        if failure is not None:
            raise failure
        noted = verdict.recorded(notebook, read_recorded(run.exchange))
        verdict.check_names(self.name, noted, dict.fromkeys(self._recorded))
        return {name: self._checked(name, *noted[name]) for name in self._recorded}

    def _checked(self, name: str, noted: Any, cell: int) -> Any:
        from flyte_plugin_papermill.errors import NotebookOutputError
        from flyte_plugin_papermill.verdict import cell_named, value_of

        try:
            value = value_of(noted, self.outputs[name])
            self.checked_output(name, value)
        except TypeTransformerFailedError as error:
            raise NotebookOutputError(
                f"{cell_named(cell)} of the notebook recorded for {name!r} what is not of the declared type: "
                f"{error.message}",
                place=f"{self.name}() -> {name}",
                expected=error.expected or str(self.output_codecs[name].literal_type),
                actual=error.actual,
                hint=error.hint,
            ) from error
        return value

    def _keep(
        self,
        run: Run,
        context: ExecutionContext,
        error: NotebookError | None,
        *,
        succeeded: bool = False,
        note: str = "",
    ) -> dict[str, str]:
        """Keep the executed notebook and its page, and show the page; where they are, by the names of outputs.

        What goes wrong here must not hide what went wrong before.
        """
        from flyte_plugin_papermill.keeping import keep

        is_output = EXECUTED in self.outputs
        try:
            files = keep(
                run,
                context,
                name=self._file_name,
                error=error,
                # What becomes an output is kept as that.
                prefix=None if succeeded and is_output else context.raw_output_prefix,
                deck=self._render_deck,
                note=note,
            )
        except Exception:
            if succeeded and is_output:
                raise
            context.logging.warning("the executed notebook of %s could not be kept", self.name, exc_info=True)
            return {}
        return files

    @property
    def _file_name(self) -> str:
        return _OF_FILES.sub("-", self.name)


def _spark_variables(context: ExecutionContext) -> dict[str, str]:
    if not context.has_attr("spark_session"):
        return {}
    from flyte_plugin_papermill.spark import variables_of

    return variables_of(context.spark_session)


def _calling_folder() -> Path:
    """The folder of the module that defines the task."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(__package__ or ""):
        frame = frame.f_back
    return Path(frame.f_code.co_filename).parent


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _is_worker() -> bool:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name == _WORKER
