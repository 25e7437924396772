"""``ShellTask``: a task whose body is a shell script, with inputs as variables and outputs as files that it writes."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flytepath.authoring.context import ExecutionContext, current_context
from flytepath.authoring.kinds.processes import ProcessFailedError, ProcessResult, failure, run_process
from flytepath.authoring.kinds.shell_script import (
    Piece,
    Place,
    assignments,
    check_places,
    parse_template,
    rendered,
)
from flytepath.authoring.kinds.shell_values import VARIABLE, Values, joined, without_nul
from flytepath.authoring.kinds.written_outputs import check_output_kind, read_output
from flytepath.authoring.promise import caller_line
from flytepath.authoring.task import PythonInstanceTask
from flytepath.errors import DefinitionError, InputError
from flytepath.plugin.task_type import TaskType

if TYPE_CHECKING:
    from flytepath.model.types import LiteralType
    from flytepath.plugin.task_type import Json, TaskDeclaration

#: Shells whose quoting we know. To any other, values come as environment variables.
_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "busybox", "ksh", "ksh93", "mksh", "yash", "zsh"})
_WORDS: Final = frozenset(
    {"none", "boolean", "integer", "float", "string", "decimal", "datetime", "date", "time", "timedelta", "uuid"}
    | {"path", "file", "directory", "enum"}
)
_LISTS: Final = frozenset({"list", "tuple", "set", "frozenset"})
_NUMBERS: Final = frozenset({"boolean", "integer", "float"})


@dataclasses.dataclass(frozen=True, slots=True)
class OutputLocation:
    """Where a script leaves an output.

    Args:
        var: the output's name.
        var_type: ``FlyteFile`` or ``FlyteDirectory``: what lies at the location; any other type: what the file at the
            location says, without its last newline.
        location: a path, relative to the script's working directory, with ``{inputs.x}`` and ``{ctx.x}`` in it.

    Example:
        >>> OutputLocation(var="lines", var_type=int, location="lines.txt").var
        'lines'
    """

    var: str
    var_type: Any
    location: str | os.PathLike[str]


@dataclasses.dataclass(frozen=True, slots=True)
class ShellConfig:
    """What selects the task type of a :class:`ShellTask` that has no other ``task_config``."""

    script: str
    shell: str = "/bin/sh"
    outputs: tuple[tuple[str, str], ...] = ()


class ShellTaskType(TaskType):
    """Runs the script, which is the task's body, where the attempt runs."""

    def compile(self, declaration: TaskDeclaration) -> Json:
        config: ShellConfig = declaration.config
        return {"script": config.script, "shell": config.shell, "outputs": dict(config.outputs)}


class ShellTask(PythonInstanceTask):
    """A shell script as a task. Assign it to a module variable, that is how a worker finds it.

    ``{inputs.x}``, ``{outputs.y}`` and ``{ctx.execution_id}`` in the script are replaced by quoted values: a value is
    one word, whatever it holds, and never code; a ``list`` is a word for each item. Files and directories are paths on
    the machine that runs the script. Each run starts in an empty folder; what is printed goes to the attempt's log.

    Args:
        name: the task's name, unique in its project.
        debug: log the script before it runs.
        script: the script itself.
        script_file: or the path of a file that holds it, which is read when the task is defined. A relative path starts
            in the current folder, or else beside the module.
        task_config: another task type that is to run the script, for example a plugin's.
        shell: the program that runs it, with options if any. Programs that are no Bourne shell take values from the
            environment: ``FLYTEPATH_INPUT_`` and the name of the input.
        inputs: types by name.
        output_locs: the outputs, and where the script leaves them.
        **kwargs: as for ``task``: ``retries``, ``timeout``, ``requests``, ...

    Raises:
        DefinitionError: a script that names what is not there, or puts a value where none can stand.

    A run raises :class:`ProcessFailedError` with the end of the standard error stream, where the script fails or leaves
    an output unwritten.

    Example:
        >>> from flytepath import kwtypes
        >>> count = ShellTask(
        ...     name="count",
        ...     script="set -e; printf '%s' {inputs.text} | wc -w > {outputs.words}",
        ...     inputs=kwtypes(text=str),
        ...     output_locs=[OutputLocation(var="words", var_type=int, location="words.txt")],
        ... )
        >>> count(text="to be; or not $(to be)")
        6
    """

    body = "shell"

    def __init__(
        self,
        name: str,
        debug: bool = False,
        script: str | None = None,
        script_file: str | os.PathLike[str] | None = None,
        task_config: Any = None,
        shell: str = "/bin/sh",
        inputs: Mapping[str, Any] | None = None,
        output_locs: Sequence[OutputLocation] | None = None,
        **kwargs: Any,
    ) -> None:
        self._script_file = None if script_file is None else os.fspath(script_file)
        self._script = _script_text(name, script, script_file)
        self._argv = _shell_command(name, shell)
        self.debug = debug
        self.output_locations = _checked_locations(name, output_locs or ())
        self._pieces = parse_template(self._script or "", f"{name}(script)")
        self._locations = {
            one.var: parse_template(os.fspath(one.location), f"{name}(output_locs.{one.var})")
            for one in self.output_locations
        }
        self._result: ProcessResult | None = None
        self.source = self._script or ""
        outputs = {one.var: os.fspath(one.location) for one in self.output_locations}
        super().__init__(
            name=name,
            task_config=task_config or ShellConfig(self.source, shell, tuple(outputs.items())),
            inputs=inputs or {},
            outputs={one.var: one.var_type for one in self.output_locations},
            **kwargs,
        )
        for output, codec in self.output_codecs.items():
            check_output_kind(codec.literal_type, f"{name}() -> {output}")
        self._check(self._pieces)

    @property
    def script(self) -> str:
        """The script as it was written."""
        return self.source

    @property
    def script_file(self) -> str | None:
        """The file that it was read from."""
        return self._script_file

    @property
    def result(self) -> ProcessResult | None:
        """The exit status and the output of the last run in this process."""
        return self._result

    def call_body(self, inputs: Mapping[str, Any]) -> Any:
        """Run the script in a folder of its own; the outputs it left."""
        from flytepath.types.transfers import fresh_folder

        folder = fresh_folder()
        values = Values(inputs, {}, current_context(), folder)
        pieces = self._compiled_pieces(values.context.payload)
        locations = {name: _location(values, pieces, folder) for name, pieces in self._locations.items()}
        values.outputs.update(locations)
        for path in locations.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        self._run(pieces, values, folder)
        return self._collected(locations)

    def _compiled_pieces(self, payload: Any) -> Sequence[Piece]:
        """The script that was compiled: where it runs, its file may be missing, or an override may have changed it."""
        script = payload.get("script") if isinstance(self.task_config, ShellConfig) and payload else self._script
        if script == self._script or script is None:
            return self._pieces
        pieces = parse_template(script, f"{self.name}(script)")
        self._check(pieces)
        return pieces

    def _run(self, pieces: Sequence[Piece], values: Values, folder: Path) -> None:
        context = values.context
        script, variables = rendered(pieces, values.text)
        if self.debug:
            shown = "".join(f"{name}={value!r}\n" for name, value in variables.items())
            context.logging.info("%s runs with %s:\n%s%s", self.name, shlex.join(self._argv), shown, script)
        place = folder.with_name(f"{folder.name}.script")
        place.mkdir()
        argv = [*self._argv, str(_written(place, script, variables, self.name))]
        env = None if self._is_shell else {**os.environ, **values.variables(self.name)}
        env = self._environment(env, values)
        self._result = run_process(argv, folder=folder, env=env, own_group=context.tenant is None)
        if self._result.returncode != 0:
            raise failure(f"the script of task {self.name}", self._result, self.name)

    def _environment(self, env: dict[str, str] | None, values: Values) -> dict[str, str] | None:
        """The environment of the script; ``None`` for that of this process."""
        return env

    @property
    def _is_shell(self) -> bool:
        return Path(self._argv[0]).name in _SHELLS

    def _collected(self, locations: Mapping[str, Path]) -> Any:
        found = [self._output(one, locations[one.var]) for one in self.output_locations]
        if not found:
            return None
        return found[0] if self.has_one_output else tuple(found)

    def _output(self, declared: OutputLocation, path: Path) -> Any:
        kind = self.output_codecs[declared.var].literal_type.kind
        if not path.exists():
            raise ProcessFailedError(
                f"the script of task {self.name} did not write the output {declared.var!r}",
                place=f"{self.name}() -> {declared.var}",
                expected=f"a {'directory' if kind == 'directory' else 'file'} at {declared.location}",
                actual="nothing is there",
                hint="write to {outputs."
                + declared.var
                + "}; `set -e` ends a script with the first command that fails",
            )
        return read_output(declared.var_type, kind, path, f"{self.name}() -> {declared.var}")

    # --- checks at definition ---

    def _check(self, script: Sequence[Piece]) -> None:
        inside = f"{self.name}(script)"
        for piece in script:
            if isinstance(piece, Place):
                self._check_place(piece, inside)
        for name, pieces in self._locations.items():
            for piece in pieces:
                if isinstance(piece, Place):
                    where = f"{self.name}(output_locs.{name})"
                    if piece.root == "outputs":
                        raise DefinitionError(f"a location cannot hold {piece}", place=where, hint="name inputs only")
                    self._check_place(piece, where)
        if self._is_shell:
            check_places(script, self._is_number, inside)
        else:
            self._check_program(script, inside)

    def _check_place(self, place: Place, where: str) -> None:
        known = {"inputs": self.input_codecs, "outputs": self.output_codecs, "ctx": _CONTEXT}[place.root]
        if place.name not in known:
            raise DefinitionError(
                f"{place} names nothing",
                place=where,
                expected=", ".join(f"{{{place.root}.{name}}}" for name in known) or f"no {{{place.root}...}} at all",
                actual=str(place),
            )
        if any(str(step).startswith("_") for step in place.steps[1:]):
            raise DefinitionError(f"{place} names what is private", place=where)
        if place.root == "inputs" and len(place.steps) == 1:
            declared = self.input_codecs[place.name].literal_type
            if not _is_word(declared) and not (declared.kind in _LISTS and all(map(_is_word, declared.items))):
                raise DefinitionError(
                    f"a value of type {declared} cannot be written into a script",
                    place=where,
                    expected="text, a number, a date, a file, a directory, or a list of those",
                    actual=str(declared),
                    hint=f"name a part of it: {{inputs.{place.name}.part}}",
                )

    def _is_number(self, place: Place) -> bool:
        return (
            place.root == "inputs"
            and len(place.steps) == 1
            and not place.spec
            and not place.conversion
            and self.input_codecs[place.name].literal_type.kind in _NUMBERS
        )

    def _check_program(self, script: Sequence[Piece], where: str) -> None:
        for piece in script:
            if isinstance(piece, Place) and not self._is_number(piece):
                raise DefinitionError(
                    f"the quoting of {self._argv[0]} is not known, so that {piece} cannot be written into its script",
                    place=where,
                    hint=f"read it from the environment: {VARIABLE}{piece.name}",
                )


#: What a script may ask of the running attempt.
_CONTEXT: Final = tuple(
    name for name in dir(ExecutionContext) if not name.startswith("_") and name not in ("add_deck", "close", "decks")
)


def _written(place: Path, script: str, variables: Mapping[str, str], task: str) -> Path:
    """The file to run. Variables stand in one of their own, so that the script's lines keep their numbers."""
    for text in variables.values():
        without_nul(text, task)
    body = place / "script"
    body.write_bytes(script.encode("utf-8", "surrogateescape"))
    if not variables:
        return body
    main = place / "main"
    main.write_bytes(f"{assignments(variables)}. {shlex.quote(str(body))}\n".encode("utf-8", "surrogateescape"))
    return main


def _location(values: Values, pieces: Sequence[Piece], folder: Path) -> Path:
    text = "".join(piece if isinstance(piece, str) else joined(values.text(piece)) for piece in pieces)
    return folder / text


def _is_word(declared: LiteralType) -> bool:
    if declared.kind == "union":
        return all(_is_word(item) for item in declared.items)
    return declared.kind in _WORDS


def _script_text(name: str, script: Any, script_file: Any) -> str | None:
    """The script; ``None`` in a worker that has no such file: what was compiled holds it."""
    if (script is None) == (script_file is None):
        raise DefinitionError(
            "a ShellTask has a script or a script_file",
            place=name,
            expected="one of the two",
            actual="neither" if script is None else "both",
        )
    if script_file is not None:
        return _file_text(name, Path(os.fspath(script_file)).expanduser())
    if not isinstance(script, str):
        raise DefinitionError("the script is text", place=f"{name}(script)", expected="str", actual=repr(script))
    return script


def _file_text(name: str, given: Path) -> str | None:
    """What the file holds: a relative path starts in the current folder, or else beside the module of the task."""
    beside = Path(caller_line().rpartition(":")[0]).parent / given
    path = given if given.is_file() else beside
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError) and _is_worker():
            return None
        raise DefinitionError(
            f"the script cannot be read: {error}", place=f"{name}(script_file)", actual=str(given)
        ) from error


def _is_worker() -> bool:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name == "flytepath.worker.__main__"


def _shell_command(name: str, shell: Any) -> list[str]:
    try:
        argv = shlex.split(shell) if isinstance(shell, str) else []
    except ValueError:
        argv = []
    if not argv:
        raise DefinitionError(
            "the shell is a program", place=f"{name}(shell)", expected="for example /bin/bash", actual=repr(shell)
        )
    return argv


def _checked_locations(name: str, given: Sequence[OutputLocation]) -> tuple[OutputLocation, ...]:
    seen: set[str] = set()
    for one in given:
        if not isinstance(one, OutputLocation):
            raise DefinitionError(
                "output_locs is a list of OutputLocation", place=f"{name}(output_locs)", actual=repr(one)
            )
        if one.var in seen or not str(one.var).isidentifier():
            raise DefinitionError(
                "an output needs a name of its own", place=f"{name}(output_locs)", actual=repr(one.var)
            )
        if not isinstance(one.location, str | os.PathLike) or not os.fspath(one.location):
            raise DefinitionError(
                "a location is a path", place=f"{name}(output_locs.{one.var})", actual=repr(one.location)
            )
        seen.add(one.var)
    return tuple(given)


class RawShellTask(ShellTask):
    """A shell script that comes as an input: a file to run, its arguments, and the environment it runs in.

    The inputs are ``script_file`` (a path), ``script_args`` (text that is split as a shell would) and ``env``; what the
    script leaves in its working directory is the output. :func:`get_raw_shell_task` makes one.

    ``{inputs.export_env}``, by which scripts for flytekit's class set the environment, is empty: it is set already.
    """

    def __init__(self, name: str, debug: bool = False, script: str | None = None, **kwargs: Any) -> None:
        super().__init__(name, debug, script and script.replace("{inputs.export_env}", ""), **kwargs)

    def _environment(self, env: dict[str, str] | None, values: Values) -> dict[str, str] | None:
        given = values.inputs.get("env")
        if not given:
            return env
        return {**(os.environ if env is None else env), **given}

    def call_body(self, inputs: Mapping[str, Any]) -> Any:
        """Run the script that is given."""
        changed = dict(inputs)
        if isinstance(changed.get("script_args"), str):
            try:
                changed["script_args"] = shlex.split(changed["script_args"])
            except ValueError as error:
                raise InputError(
                    f"the arguments cannot be split: {error}",
                    place=f"{self.name}(script_args)",
                    actual=changed["script_args"],
                ) from error
        if changed.get("script_file"):
            changed["script_file"] = str(Path(changed["script_file"]).absolute())
        return super().call_body(changed)


def get_raw_shell_task(name: str) -> RawShellTask:
    """A task that runs a script of the machine it runs on.

    Its inputs are ``env`` (a dict of text), ``script_args`` (text) and ``script_file`` (a path as text). Its output
    ``out`` is a ``FlyteDirectory``: the working directory of the script.

    Example:
        >>> sorted(get_raw_shell_task("run").inputs)
        ['env', 'script_args', 'script_file']
    """
    from flytepath.types.directories import FlyteDirectory

    return RawShellTask(
        name=name,
        debug=True,
        shell="/bin/bash",
        inputs={"env": dict[str, str], "script_args": str, "script_file": str},
        output_locs=[OutputLocation(var="out", var_type=FlyteDirectory, location="{ctx.working_directory}")],
        script="set -ue\nbash {inputs.script_file} {inputs.script_args}\n",
    )
