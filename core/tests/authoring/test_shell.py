"""Shell tasks: values as words, outputs from files, failures told, nothing left running."""

from __future__ import annotations

import datetime as dt
import enum
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flytepath import kwtypes, workflow
from flytepath.authoring.kinds.processes import ProcessFailedError
from flytepath.authoring.kinds.shell import OutputLocation, RawShellTask, ShellTask, get_raw_shell_task
from flytepath.authoring.kinds.shell_script import Place, rendered
from flytepath.errors import DefinitionError, InputError, PluginNotFoundError, TypeTransformerFailedError
from flytepath.types.directories import FlyteDirectory
from flytepath.types.files import FlyteFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HOSTILE = """a  b'c"d`id`$(id)$HOME\\ ; rm x & | > < * ? [ ] ! # ~ \n -n \t é"""


def echo(template: str, kind: Any = str, **arguments: Any) -> ShellTask:
    """A task that writes ``template`` to its output ``o`` with printf."""
    return ShellTask(
        name="echo",
        script=f"set -e\nprintf '%s.' {template} > {{outputs.o}}\n",
        inputs=kwtypes(x=kind),
        output_locs=[OutputLocation("o", str, "out.txt")],
        **arguments,
    )


# --- values are words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash", "/bin/bash -e"])
@pytest.mark.parametrize("template", ["{inputs.x}", '"{inputs.x}"', "'{inputs.x}'", '"$(printf "%s" "{inputs.x}")"'])
def test_a_value_is_one_word_whatever_it_holds_and_however_it_is_quoted(template: str, shell: str) -> None:
    assert echo(template, shell=shell)(x=HOSTILE) == HOSTILE + "."


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=30))
def test_any_text_arrives_as_it_is(text: str) -> None:
    assert echo("a{inputs.x}b'{inputs.x}'\"{inputs.x}\"")(x=text) == f"a{text}b{text}{text}."


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize(
    "script",
    [
        'echo `echo {inputs.x}` "`echo {inputs.x}`"',
        'echo "${A:-{inputs.x}}" ${A:-{inputs.x}} ${A:-"{inputs.x}"} ${A:-\'{inputs.x}\'}',
        "case {inputs.x} in a) echo \"{inputs.x}\";; *) echo '{inputs.x}';; esac",
        "echo \"$(case a in a) echo '{inputs.x}';; esac)\" '{inputs.x}'",
        "cat <<A; cat <<-B\n'{inputs.x}' \"{inputs.x}\" $(echo {inputs.x})\nA\n\t{inputs.x}\n\tB\necho {inputs.x}",
        "echo it\\'s {inputs.x} \"it\\\"s {inputs.x}\" 'a'\\''{inputs.x}'\\''b'",
        "f() { ( echo {inputs.x} ) }; f # {inputs.x}\necho $'its {inputs.x}'",
        "echo $((1 + (2))) '{inputs.x}'; echo a#b '{inputs.x}' # '\necho {inputs.x}",
        "if [ {inputs.x} = a ]; then echo '; fi {inputs.x}'; fi > {inputs.x}.out",
    ],
)
@pytest.mark.parametrize(
    "code", ["$(touch it)", "`touch it`", "\ntouch it\n", "'\"\ntouch it\n\"'", ")\ntouch it\nEOF\nA\n"]
)
def test_no_value_is_executed_wherever_it_stands(script: str, code: str, shell: str) -> None:
    task = ShellTask(
        name="safe",
        shell=shell,
        script=f"{script}\ntest -e it && echo executed > {{outputs.o}} || echo fine > {{outputs.o}}",
        inputs=kwtypes(x=str),
        output_locs=[OutputLocation("o", str, "o")],
    )
    assert task(x=code) == "fine"


@given(st.lists(st.text("'\"`\\\n #(){}$<>;&|-aE", max_size=8), min_size=1, max_size=4))
def test_no_script_is_too_odd_to_be_read(pieces: list[str]) -> None:
    script: list[Any] = [pieces[0]]
    for piece in pieces[1:]:
        script += [Place("inputs", ("x",)), piece]
    _, variables = rendered(script, lambda place: "v")
    assert list(variables.values()) == ["v"] * (len(pieces) - 1)


def test_parts_of_words_globs_and_assignments_stay_the_shells(tmp_path: Path) -> None:
    for name in ("1.txt", "2.txt", "3.csv"):
        (tmp_path / name).touch()
    task = ShellTask(
        name="glob",
        script="""
            folder={inputs.folder}; cd "$folder"
            echo *.{inputs.ending} > {outputs.o}; echo ${#folder} >> {outputs.o}
        """,
        inputs=kwtypes(folder=Path, ending=str),
        output_locs=[OutputLocation("o", str, "o")],
    )
    assert task(folder=tmp_path, ending="txt") == f"1.txt 2.txt\n{len(str(tmp_path))}"


def test_here_documents_and_comments_take_values() -> None:
    task = ShellTask(
        name="here",
        script="# {inputs.x}\ncat >{outputs.o} <<EOF\n<{inputs.x}> ${{UNSET_OF_MINE}}\nEOF\necho it''s >>{outputs.o}",
        inputs=kwtypes(x=str),
        output_locs=[OutputLocation("o", str, "o")],
    )
    assert task(x=HOSTILE) == f"<{HOSTILE}> \nits"


def test_a_here_document_ends_only_at_its_delimiter() -> None:
    script = "cat > {outputs.o} <<-EOF\n\t{inputs.x}\n\tEOF\nprintf '%s' \"{inputs.x}\" >> {outputs.o}"
    task = ShellTask(name="here", script=script, inputs=kwtypes(x=str), output_locs=[OutputLocation("o", str, "o")])
    assert task(x="EOF\nid") == "EOF\nid\nEOF\nid"


def test_numbers_stand_as_they_are_also_in_arithmetic() -> None:
    assert echo("$(( {inputs.x} * 2 )) 'n={inputs.x}'", int)(x=-21) == "-42.n=-21."
    assert echo("$(seq {inputs.x})", int)(x=3) == "1.2.3."
    assert echo("{inputs.x}", bool)(x=True) == "True."
    assert echo("{inputs.x:.2f}", float)(x=2.0) == "2.00."


def test_a_list_is_a_word_for_each_item() -> None:
    assert echo("{inputs.x}", list[str])(x=["a b", "$(id)", ""]) == "a b.$(id).."
    assert echo('"{inputs.x}"', list[str])(x=["a b", "c"]) == "a b c."
    assert echo("none {inputs.x}", list[int])(x=[]) == "none."


class Colour(enum.Enum):
    RED = "dark red"


@dataclass
class Settings:
    rate: float
    names: list[str]


def test_dates_enumerations_optional_values_and_parts() -> None:
    assert echo("{inputs.x}", dt.datetime)(x=dt.datetime(2024, 2, 29, 12)) == "2024-02-29T12:00:00."
    assert echo("{inputs.x}", Colour)(x=Colour.RED) == "dark red."
    assert echo("{inputs.x}", str | None)(x=None) == "."
    assert echo("{inputs.x.rate} {inputs.x.names[1]}", Settings)(x=Settings(0.5, ["a", "b c"])) == "0.5.b c."


def test_values_far_longer_than_an_argument_may_be(tmp_path: Path) -> None:
    task = ShellTask(
        name="long",
        script='printf "%s" {inputs.x} | wc -c > {outputs.o}',
        inputs=kwtypes(x=str),
        output_locs=[OutputLocation("o", int, "o")],
    )
    assert task(x="é" * 500_000) == 1_000_000


def test_what_the_context_knows() -> None:
    task = ShellTask(
        name="ctx",
        script="pwd > {outputs.o}; echo {ctx.working_directory} {ctx.execution_id} {ctx.attempt} >> {outputs.o}",
        output_locs=[OutputLocation("o", str, "o")],
    )
    folder, told = task().split("\n")
    assert told == f"{folder} local 1"


# --- braces ------------------------------------------------------------------------------------------------------


def test_braces_may_be_doubled_as_in_format_strings_or_be_the_shells_own() -> None:
    for script in (
        "X=1; echo ${{X}} | awk '{{print $1}}' > {outputs.o}",
        "X=1; echo ${X} | awk '{print $1}' > {outputs.o}",
        "f() { { echo ${X:-${Y:-1}}; }; }; f > {outputs.o}",
    ):
        task = ShellTask(name="braces", script=script, output_locs=[OutputLocation("o", str, "o")])
        assert task() == "1"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo {inputs.zz}", "names nothing"),
        ("echo {outputs.zz}", "names nothing"),
        ("echo {ctx.zz}", "names nothing"),
        ("echo {ctx._folder}", "names nothing"),
        ("echo {inputs.x._hidden}", "private"),
        ("echo {input.x}", "no place for a value"),
        ("echo {inputs}", "no place for a value"),
        ("echo { inputs.x }", "no place for a value"),
        ("echo ${inputs.x}", "dollar sign"),
        ("echo \\{inputs.x}", "backslash"),
        ("echo {{a}} ${HOME} {inputs.x}", "some braces are doubled"),
        ("cat <<'EOF'\n{inputs.x}\nEOF", "here-document"),
        ("echo $(( {inputs.x} + 1 ))", "arithmetic"),
        ("if (( {inputs.x} > 1 )); then echo; fi", "arithmetic"),
        ("echo $(( $(echo 1) + (2) + {inputs.x} ))", "arithmetic"),
        ("echo {inputs.table}", "cannot be written into a script"),
    ],
)
def test_places_where_no_value_can_stand_are_refused_at_definition(script: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said) as caught:
        ShellTask(name="wrong", script=script, inputs=kwtypes(x=str, table=dict[str, int]))
    assert caught.value.place == "wrong(script)"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "a script or a script_file"),
        ({"script": "x", "script_file": "y"}, "a script or a script_file"),
        ({"script_file": "/nowhere/at/all.sh"}, "cannot be read"),
        ({"script": 3}, "the script is text"),
        ({"script": "x", "shell": ""}, "the shell is a program"),
        ({"script": "x", "output_locs": [("o", str, "o")]}, "list of OutputLocation"),
        ({"script": "x", "output_locs": [OutputLocation("o", str, "a")] * 2}, "name of its own"),
        ({"script": "x", "output_locs": [OutputLocation("o", str, "")]}, "a location is a path"),
        ({"script": "x", "output_locs": [OutputLocation("o", str, "{inputs.x}")]}, "names nothing"),
        ({"script": "x", "output_locs": [OutputLocation("o", str, "{outputs.o}")]}, "cannot hold"),
        ({"script": "x", "shell": "python3", "inputs": {"y": str}, "script_file": None, "retries": -1}, "retries"),
    ],
)
def test_what_cannot_be_a_shell_task(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        ShellTask(name="wrong", **arguments)


def test_another_task_type_may_run_the_script_and_an_unknown_one_is_refused() -> None:
    with pytest.raises(PluginNotFoundError):
        ShellTask(name="pod", script="true", task_config=Settings(1.0, []))


# --- files and outputs -------------------------------------------------------------------------------------------


grep = ShellTask(
    name="grep",
    script='set -e\necho "found: Flyte" >> {inputs.x}\ngrep "Flyte" {inputs.x} >> {inputs.x}.found',
    inputs=kwtypes(x=FlyteFile),
    output_locs=[
        OutputLocation("i", FlyteFile, "{inputs.x}"),
        OutputLocation("found", FlyteFile["txt"], "{{ .inputs.x }}.found"),
    ],
)
pack = ShellTask(
    name="pack",
    script="set -ex\ncp {inputs.x} {inputs.y}\ntar -zcf {outputs.j} -C {inputs.y} .",
    inputs=kwtypes(x=FlyteFile, y=FlyteDirectory),
    output_locs=[OutputLocation("j", FlyteFile, "{inputs.y}.tar.gz")],
)
unpack = ShellTask(
    name="unpack",
    script="mkdir {outputs.all}; tar xfz {inputs.z} -C {outputs.all}; cat {outputs.all}/* | wc -l > {outputs.k}",
    inputs=kwtypes(z=FlyteFile),
    output_locs=[OutputLocation("k", int, "count"), OutputLocation("all", FlyteDirectory, "all")],
)


@workflow
def through_files(x: FlyteFile, y: FlyteDirectory) -> tuple[int, FlyteDirectory]:
    changed, _found = grep(x=x)
    return unpack(z=pack(x=changed, y=y))


def test_files_and_directories_go_through_a_workflow_and_the_callers_are_left_alone(tmp_path: Path) -> None:
    file, folder = tmp_path / "my file.txt", tmp_path / "folder"
    file.write_text("hello Flyte\n")
    folder.mkdir()
    (folder / "other").write_text("1\n")
    count, everything = through_files(x=file, y=folder)
    assert count == 3
    assert sorted(path.name for path in Path(everything).iterdir()) == ["my file.txt", "other"]
    assert file.read_text() == "hello Flyte\n"
    assert [path.name for path in folder.iterdir()] == ["other"]


def test_outputs_are_read_as_their_types() -> None:
    task = ShellTask(
        name="typed",
        script='echo 3 > n; echo "[1, 2]" > l; echo true > b; printf "a\\n\\n" > s; echo 2024-02-29 > d; pwd > p',
        output_locs=[
            OutputLocation("n", int, "n"),
            OutputLocation("l", list[int], Path("l")),
            OutputLocation("b", bool, "b"),
            OutputLocation("s", str, "s"),
            OutputLocation("d", dt.date, "d"),
            OutputLocation("p", Path, "p"),
        ],
    )
    *values, folder = task()
    assert values == [3, [1, 2], True, "a\n", dt.date(2024, 2, 29)]
    assert isinstance(folder, Path)
    assert folder.is_absolute()


def test_a_location_in_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    task = ShellTask(
        name="deep",
        script="echo {inputs.x} > {outputs.o}",
        inputs=kwtypes(x=str),
        output_locs=[OutputLocation("o", FlyteFile, "deep/{inputs.x}/o.txt")],
    )
    assert Path(task(x="a b")).read_text() == "a b\n"


def test_an_output_that_is_not_there_or_of_another_type_names_the_task_and_the_output() -> None:
    task = ShellTask(name="none", script="true", output_locs=[OutputLocation("o", FlyteFile, "o.txt")])
    with pytest.raises(ProcessFailedError, match="did not write the output 'o'") as caught:
        task()
    assert caught.value.place == "none() -> o"
    task = ShellTask(name="text", script="echo three > o", output_locs=[OutputLocation("o", int, "o")])
    with pytest.raises(TypeTransformerFailedError, match="three") as mistyped:
        task()
    assert (mistyped.value.place or "").startswith("text() -> o")


@pytest.mark.parametrize("kind", [pd.DataFrame, list[FlyteFile], FlyteFile | None])
def test_an_output_type_that_no_script_can_write_is_refused(kind: Any) -> None:
    with pytest.raises(DefinitionError, match="cannot be read from a file"):
        ShellTask(name="frame", script="true", output_locs=[OutputLocation("o", kind, "o")])


def test_a_script_file_is_read_at_definition(tmp_path: Path) -> None:
    file = tmp_path / "script.sh"
    file.write_text("echo {inputs.x} > {outputs.o}")
    task = ShellTask(
        name="file", script_file=str(file), inputs=kwtypes(x=str), output_locs=[OutputLocation("o", str, "o")]
    )
    file.unlink()
    assert task(x="it's") == "it's"
    assert task.script_file == str(file)
    assert task.script == "echo {inputs.x} > {outputs.o}"


def test_a_relative_script_file_starts_here_or_beside_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "code" / "module.py"
    module.parent.mkdir()
    (module.parent / "script.sh").write_text("echo beside")
    source = "from flytepath.authoring.kinds.shell import ShellTask\nt = ShellTask(name='t', script_file='script.sh')"
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    exec(compile(source, str(module), "exec"), space)
    assert space["t"].script == "echo beside"
    (tmp_path / "script.sh").write_text("echo here")
    exec(compile(source, str(module), "exec"), space)
    assert space["t"].script == "echo here"


# --- what happens ------------------------------------------------------------------------------------------------


def test_a_failure_says_the_status_and_the_end_of_the_error_stream() -> None:
    task = ShellTask(name="failing", script="seq 100 >&2; echo the cause >&2; exit 3")
    with pytest.raises(ProcessFailedError, match="exit status 3") as caught:
        task()
    assert "the cause" in caught.value.message
    assert "\n81\n" not in caught.value.message
    assert caught.value.place == "failing"
    assert task.result is not None
    assert task.result.returncode == 3
    with pytest.raises(ProcessFailedError, match="SIGTERM"):
        ShellTask(name="killed", script="kill -TERM $$")()


def test_error_lines_have_the_numbers_of_the_script() -> None:
    task = ShellTask(
        name="lines", shell="/bin/bash", script="x={inputs.x}\n\nnot_a_command_of_anyone\n", inputs=kwtypes(x=str)
    )
    with pytest.raises(ProcessFailedError, match="line 3"):
        task(x="several\nlines\n")


def test_a_shell_that_is_not_there_says_so() -> None:
    with pytest.raises(ProcessFailedError, match="cannot be started"):
        ShellTask(name="none", shell="/nowhere/bin/sh", script="true")()


def test_a_nul_character_is_refused() -> None:
    with pytest.raises(InputError, match="NUL"):
        echo("{inputs.x}")(x="a\0b")


def test_what_is_printed_is_passed_on_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    task = ShellTask(name="loud", script="echo out; echo err >&2")
    assert task() is None
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("out\n", "err\n")
    assert task.result is not None
    assert (task.result.output, task.result.error) == ("out\n", "err\n")


def test_debug_logs_the_script(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flytepath"):
        echo("{inputs.x}", debug=True)(x="shown")
    assert "shown" in caplog.text
    assert "printf" in caplog.text


def test_a_program_that_is_no_shell_takes_values_from_the_environment() -> None:
    task = ShellTask(
        name="python",
        shell=f"{sys.executable} -I",
        script="import os\nopen('o', 'w').write(os.environ['FLYTEPATH_INPUT_x'] * {inputs.n})",
        inputs=kwtypes(x=str, n=int),
        output_locs=[OutputLocation("o", str, "o")],
    )
    assert task(x=HOSTILE, n=2) == HOSTILE * 2
    with pytest.raises(DefinitionError, match="FLYTEPATH_INPUT_x"):
        ShellTask(name="python", shell=sys.executable, script="print('{inputs.x}')", inputs=kwtypes(x=str))


def test_environment_variables_of_the_task_reach_the_script() -> None:
    task = ShellTask(
        name="env",
        script="echo $MY_OWN_VARIABLE > {outputs.o}",
        output_locs=[OutputLocation("o", str, "o")],
        environment={"MY_OWN_VARIABLE": "mine"},
    )
    assert task() == "mine"
    assert "MY_OWN_VARIABLE" not in os.environ


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs: one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_children_do_not_outlive_the_script_nor_hold_it_up(tmp_path: Path) -> None:
    task = ShellTask(name="child", script="sleep 1000 & echo $! > {inputs.to}", inputs=kwtypes(to=Path))
    started = time.monotonic()
    task(to=tmp_path / "pid")
    assert time.monotonic() - started < 500
    child = int((tmp_path / "pid").read_text())
    wait_until(lambda: not alive(child))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_an_interrupt_kills_the_script_and_its_children(tmp_path: Path) -> None:
    task = ShellTask(
        name="interrupted",
        script="sleep 1000 & echo $! > {inputs.to}.new; mv {inputs.to}.new {inputs.to}; wait",
        inputs=kwtypes(to=Path),
    )
    pid = tmp_path / "pid"

    def interrupt() -> None:
        wait_until(pid.exists)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            task(to=pid)
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    wait_until(lambda: not alive(int(pid.read_text())))


# --- the raw task ------------------------------------------------------------------------------------------------


def test_a_raw_shell_task_runs_a_given_script_with_arguments_and_environment(tmp_path: Path) -> None:
    script = tmp_path / "a script.sh"
    script.write_text('printf "%s|" "$MINE" "$@" > told; echo "$PATH" > path')
    task = get_raw_shell_task("raw")
    assert isinstance(task, RawShellTask)
    out = task(env={"MINE": "a; b"}, script_args="one 'two three' $(id)", script_file=str(script))
    assert (Path(out) / "told").read_text() == "a; b|one|two three|$(id)|"
    assert (Path(out) / "path").read_text() == os.environ["PATH"] + "\n"
    with pytest.raises(InputError, match="cannot be split"):
        task(env={}, script_args="'", script_file=str(script))


def test_scripts_for_flytekits_raw_task_are_taken(tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text('echo "$MINE" > told')
    raw = RawShellTask(
        name="raw",
        debug=True,
        inputs=kwtypes(env=dict[str, str], script_args=str, script_file=str),
        output_locs=[OutputLocation(var="out", var_type=FlyteDirectory, location="{ctx.working_directory}")],
        script="#!/bin/bash\nset -uex\ncd {ctx.working_directory}\n{inputs.export_env}\n"
        "bash {inputs.script_file} {inputs.script_args}\n",
    )
    out = raw(env={"MINE": "x"}, script_args="", script_file=str(script))
    assert (Path(out) / "told").read_text() == "x\n"


def test_the_compiled_task_carries_the_script() -> None:
    from flytepath.authoring.call import task_type_name, task_type_of

    assert task_type_name(pack) == "shell"
    assert task_type_of(pack).compile(pack.declaration()) == {
        "script": pack.script,
        "shell": "/bin/sh",
        "outputs": {"j": "{inputs.y}.tar.gz"},
    }
    assert pack.declaration().source == pack.script
