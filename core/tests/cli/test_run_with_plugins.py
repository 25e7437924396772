"""A durable run through a plugin: its task type, boundary check, wrapper and command, and the policy over them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "plugin"))

from fake_distributions import Distributions

MANIFEST = """
    @hookimpl
    def flytepath_task_types():
        return [TaskTypeDeclaration(name="loud", task_type="flyte_plugin_loud.parts:LoudType",
                                    config="flyte_plugin_loud.parts:Loud")]

    @hookimpl
    def flytepath_boundary_checks():
        return [BoundaryCheckDeclaration(marker="flyte_plugin_loud.parts.AtMost",
                                         checker="flyte_plugin_loud.parts:AtMostChecker", side="reading"),
                BoundaryCheckDeclaration(marker="flyte_plugin_loud.parts.Sealed",
                                         checker="flyte_plugin_loud.parts:SealedChecker")]

    @hookimpl
    def flytepath_task_wrappers():
        return [
            TaskWrapperDeclaration(name="inner", wrapper="flyte_plugin_loud.parts:inner", order=20),
            TaskWrapperDeclaration(name="outer", wrapper="flyte_plugin_loud.parts:outer", order=10),
            TaskWrapperDeclaration(name="fails", wrapper="flyte_plugin_loud.parts:fails", order=5),
        ]

    @hookimpl
    def flytepath_cli_commands():
        return [CliCommandDeclaration(name="shout", command="flyte_plugin_loud.parts:shout", help="Shout.")]
"""

PARTS = """
import contextlib
from dataclasses import dataclass

import click
from flytepath.plugin import BoundaryChecker, BoundaryReport, DefinitionError, TaskType

@dataclass(frozen=True)
class Loud:
    mark: str = "!"

@dataclass(frozen=True)
class Louder(Loud):
    pass

@dataclass(frozen=True)
class AtMost:
    limit: int
    on_failure: str = "raise"

class LoudType(TaskType):
    def compile(self, declaration):
        return {"mark": declaration.config.mark}
    def execute(self, context, inputs, call_body):
        context.add_deck("loud", "<p>loud</p>")
        return call_body(inputs).upper() + context.payload["mark"]

class AtMostChecker(BoundaryChecker):
    def validate_marker(self, marker, t):
        if marker.limit < 0:
            raise DefinitionError("a limit cannot be negative")
    def check(self, value, marker, context):
        passed = len(value) <= marker.limit
        return BoundaryReport(passed, f"{len(value)} is over {marker.limit}", on_failure=marker.on_failure,
                              details={"length": len(value)}, decks=(("length", f"<p>{len(value)}</p>"),))

@dataclass(frozen=True)
class Sealed:
    seal: str

class SealedChecker(BoundaryChecker):
    def voucher(self, marker):
        return marker.seal or None
    def check(self, value, marker, context):
        return BoundaryReport(True)

def named(name):
    @contextlib.contextmanager
    def wrapper(context):
        print("enter", name)
        yield
        print("leave", name)
    return wrapper

inner, outer = named("inner"), named("outer")

def fails(context):
    raise RuntimeError("this wrapper is broken")

@click.command()
@click.option("--status", default=0)
@click.pass_context
def shout(ctx, status):
    click.echo("HEY")
    ctx.exit(status)
"""

FLOW = """
    from typing import Annotated
    from flytepath import task, workflow
    from flyte_plugin_loud.parts import AtMost, Loud, Louder

    @task(task_config=Loud(mark="?"))
    def greet(name: Annotated[str, AtMost(5)]) -> str:
        return f"hello {name}"

    @task(task_config=Louder())
    def greet_more(name: Annotated[str, AtMost(5, on_failure="warn")]) -> str:
        return f"hello {name}"

    @task
    def plain(name: str) -> str:
        return name

    @workflow
    def flow(name: str) -> str:
        return greet(name=name)
"""


@pytest.fixture
def loud(cli: Any, tmp_path: Path) -> Any:
    fakes = Distributions(tmp_path / "site", cli.home)
    fakes.add("loud", MANIFEST)
    (fakes.folder / "flyte_plugin_loud" / "parts.py").write_text(PARTS)
    cli.env["PYTHONPATH"] = str(fakes.folder)
    cli.write("flow.py", FLOW)
    cli.fakes = fakes
    return cli


def test_a_plugins_parts_all_take_part_in_a_run_in_the_declared_order(loud: Any) -> None:
    done = loud.run("run", "flow.py", "flow", "--name", "ada")
    assert 'o0 = "HELLO ADA?"' in done.stdout
    printed = [line.rpartition("| ")[2] for line in done.stderr.splitlines() if "| " in line]
    assert [line for line in printed if line.split()[0] in ("enter", "leave")] == [
        "enter outer",
        "enter inner",
        "leave inner",
        "leave outer",
    ]
    view = loud.json("executions", "show", loud.json("executions", "list")[0]["id"])
    assert [deck["name"] for deck in view["decks"]] == ["length", "loud"]
    assert [(check["passed"], check["details"]) for check in view["checks"]] == [(True, {"length": 3})]


def test_a_refused_value_fails_the_attempt_and_its_deck_is_kept(loud: Any) -> None:
    done = loud.run("run", "flow.py", "flow", "--name", "barbara", status=1)
    assert "7 is over 5" in done.stderr
    assert "FP-BOUNDARY-CHECK" in done.stderr
    view = loud.json("executions", "show", loud.json("executions", "list")[0]["id"])
    assert [deck["name"] for deck in view["decks"]] == ["length"]
    assert [check["passed"] for check in view["checks"]] == [False]


SEALED = """
    from typing import Annotated, Optional
    from flytepath import task, workflow
    from flyte_plugin_loud.parts import Sealed

    @task
    def write(word: str) -> Annotated[str, Sealed("a")]:
        return word + "!"

    @task
    def write_without(word: str) -> Annotated[str, Sealed("")]:
        return word + "?"

    @task
    def same(word: Annotated[str, Sealed("a")]) -> str:
        return word

    @task
    def other(word: Annotated[str, Sealed("b")]) -> str:
        return word

    @task
    def wider(word: Annotated[Optional[str], Sealed("a")]) -> str:
        return word or ""

    @task
    def without(word: Annotated[str, Sealed("")]) -> str:
        return word

    @workflow
    def flow() -> None:
        word = write(word="written")
        same(word=word)
        other(word=word)
        wider(word=word)
        without(word=write_without(word="unsealed"))
        same(word="from outside")
"""


def test_what_was_found_good_when_it_was_written_is_not_checked_again_as_the_same(loud: Any) -> None:
    loud.write("sealed.py", SEALED)
    loud.run("run", "sealed.py", "flow")
    view = loud.json("executions", "show", loud.json("executions", "list")[0]["id"])
    tasks = {node["path"]: node["task"].rpartition(".")[2] for node in view["nodes"]}
    checked = [tasks[event["payload"]["node"]] for event in view["events"] if "checker" in event["payload"]]
    assert sorted(checked) == ["other", "same", "wider", "without", "write", "write_without"]


def test_a_check_that_only_warns_lets_the_value_pass_and_a_subclass_of_a_config_keeps_its_type(loud: Any) -> None:
    done = loud.run("run", "flow.py", "greet_more", "--name", "barbara")
    assert 'o0 = "HELLO BARBARA!"' in done.stdout
    assert "7 is over 5" in done.stderr


def test_a_plugins_command_is_listed_and_runs(loud: Any) -> None:
    assert "Shout." in loud.run("--help").stdout
    assert loud.run("shout").stdout == "HEY\n"
    assert loud.run("shout", "--status", "5", status=5).stdout == "HEY\n"


def test_a_plugin_that_the_project_does_not_enable_is_refused_at_compile_time(loud: Any) -> None:
    loud.write("flytepath.toml", '[projects.strict.plugins]\ndeny = ["loud"]\n')
    error = loud.error("run", "flow.py", "flow", "--name", "ada", "--project", "strict", status=1)
    assert "FP-PLUGIN-DENIED" in error
    assert "flytepath.toml" in error
    assert 'o0 = "HELLO ADA?"' in loud.run("run", "flow.py", "flow", "--name", "ada").stdout
    assert 'o0 = "ada"' in loud.run("run", "flow.py", "plain", "--name", "ada", "--project", "strict").stdout


def test_a_denied_plugin_is_named_where_its_config_is_used(loud: Any) -> None:
    loud.write("flytepath.toml", '[plugins]\ndeny = ["loud"]\n')
    error = loud.error("run", "flow.py", "flow", "--name", "ada", status=1)
    assert "loud" in error
    assert "flow.py" not in error or "FP-" in error
    assert "Shout." not in loud.run("--help").stdout


def test_a_marker_that_can_never_work_is_refused_at_definition(loud: Any) -> None:
    loud.write("bad.py", FLOW.replace("AtMost(5)", "AtMost(-1)"))
    assert "cannot be negative" in loud.error("run", "bad.py", "flow", "--name", "ada", status=2)


def test_a_bad_policy_is_one_error_and_help_still_works(loud: Any) -> None:
    loud.write("flytepath.toml", '[plugins]\ndenny = ["loud"]\n')
    error = loud.error("run", "flow.py", "flow", "--name", "ada", status=2)
    assert "flytepath.toml" in error
    assert "denny" in error
    assert "deny" in error
    done = loud.run("--help")
    assert "denny" in done.stderr
    assert "run" in done.stdout
