"""Environments of tasks: made of what an image asks for, once, whole, and with flytepath in them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flytepath
import pytest
from flytepath.engine.environments import (
    EnvironmentBuildError,
    EnvironmentInUseError,
    Environments,
    EnvironmentUnavailableError,
    Shelf,
)
from flytepath.engine.environments.asked import ENGINE_MINOR, asked_by
from flytepath.engine.environments.tools import find_uv
from flytepath.model.task import Interface, TaskSpec
from made_wheels import Wheels, unpacked

DEADLINE = 120.0
TOOLS = [
    pytest.param("uv", marks=pytest.mark.skipif(find_uv() is None, reason="uv is not installed here")),
    "pip",
]


@pytest.fixture(autouse=True)
def installer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests decide themselves where packages come from."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "PYTHONPATH", "FLYTEPATH_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")


@pytest.fixture
def wheels(tmp_path: Path) -> Wheels:
    made = Wheels(tmp_path / "wheels")
    made.add("conflictlib", "1.0")
    made.add("conflictlib", "2.0")
    return made


class Engine:
    """Environments of a home, each call in an event loop of its own, and what was said."""

    def __init__(self, home: Path, wheels: Wheels) -> None:
        self.home = home
        self.wheels = wheels
        self.said: list[str] = []
        self.shelf = Shelf.of(home)

    def spec(self, *packages: str, plugin: str = "", **image: Any) -> TaskSpec:
        image = {"packages": list(packages), "pip_extra_args": self.wheels.arguments, **image}
        return TaskSpec(name="t", interface=Interface(), environment=image, plugin=plugin)

    def ask(self, *tasks: TaskSpec) -> list[str]:
        async def asked() -> list[str]:
            environments = Environments(self.home, log=self.said.append)
            try:
                return [await environments.python_of(task) for task in tasks]
            finally:
                await environments.close()

        return asyncio.run(asked())

    def python(self, *packages: str, **image: Any) -> str:
        [python] = self.ask(self.spec(*packages, **image))
        return python

    def error(self, *packages: str, **image: Any) -> EnvironmentBuildError:
        with pytest.raises(EnvironmentBuildError) as caught:
            self.python(*packages, **image)
        return caught.value

    @property
    def made(self) -> int:
        return sum(line.startswith("making ") for line in self.said)


@pytest.fixture
def engine(tmp_path: Path, wheels: Wheels) -> Engine:
    return Engine(tmp_path / "home", wheels)


def said_by(python: str, code: str) -> str:
    done = subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


#: The file of flytepath, its version, and how often it is installed.
OURS = """
import os, flytepath.worker, importlib.metadata as m
here = [d for d in m.distributions() if d.name == "flytepath"]
print(os.path.realpath(flytepath.__file__), m.version("flytepath"), len(here))
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {DEADLINE} s: {what}")


@pytest.mark.parametrize("tool", TOOLS)
def test_tasks_with_conflicting_libraries_each_get_their_own(
    tool: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTEPATH_ENVIRONMENT_TOOL", tool)
    one, two = engine.python("conflictlib==1.0"), engine.python("conflictlib==2.0")
    assert said_by(one, "import conflictlib; print(conflictlib.VERSION)") == "1.0"
    assert said_by(two, "import conflictlib; print(conflictlib.VERSION)") == "2.0"
    assert f"with {tool}" in engine.said[0]


def test_flytepath_is_there_as_the_engine_has_it_and_what_was_not_asked_for_is_not(engine: Engine) -> None:
    python = engine.python("conflictlib")
    assert said_by(python, OURS) == f"{Path(flytepath.__file__).resolve()} {flytepath.__version__} 1"
    others = "import importlib.util as u; print([n for n in ('pytest', 'pip', 'hypothesis') if u.find_spec(n)])"
    assert said_by(python, others) == "[]"
    assert said_by(python, "import sys; print(sys.version_info[:2])") == str(sys.version_info[:2])


@pytest.mark.parametrize(
    "environment",
    [
        None,
        "ghcr.io/me/train:1",
        {},
        {"name": "train", "env": {"A": "1"}, "apt_packages": ["git"], "base_image": "ubuntu"},
        {"python_version": ENGINE_MINOR},
        {"requirements": "r.txt", "requirements_text": "# nothing yet\n"},
        {"base_image": {"env": {"A": "1"}}, "registry": "ghcr.io/me"},
    ],
)
def test_a_task_that_asks_for_nothing_more_runs_as_the_engine_does(environment: Any, engine: Engine) -> None:
    assert engine.ask(TaskSpec(name="t", interface=Interface(), environment=environment)) == [sys.executable]
    assert not engine.shelf.root.exists()


def test_whoever_asks_for_the_same_gets_the_same_made_once(engine: Engine) -> None:
    engine.wheels.add("other-lib")
    pythons = {
        engine.python("conflictlib==1.0", "Other_Lib"),
        engine.python("other.lib", "ConflictLib ==1.0"),
        engine.python("other-lib", name="another", registry="ghcr.io/me", env={"A": "1"}),
        engine.python(runtime_packages=["other-lib"], base_image={"packages": ["conflictlib==1.0"]}),
        engine.python(requirements="any.txt", requirements_text="# ours\nother-lib\n\nconflictlib==1.0 # old\n"),
    }
    assert len(pythons) == 3  # alike: the first two, and the one of layers; in a file it is another text
    assert engine.made == 3


def test_many_askers_wait_for_one_making(engine: Engine) -> None:
    async def asked() -> set[str]:
        environments = Environments(engine.home, log=engine.said.append)
        task = engine.spec("conflictlib")
        hasty = asyncio.create_task(environments.python_of(task))
        patient = [asyncio.create_task(environments.python_of(task)) for _ in range(5)]
        while not engine.said:
            await asyncio.sleep(0.01)
        hasty.cancel()
        pythons = set(await asyncio.gather(*patient))
        assert hasty.cancelled()
        await environments.close()
        return pythons

    assert len(asyncio.run(asked())) == 1
    assert engine.made == 1


ASKER = """
import asyncio, sys, json
from pathlib import Path
from flytepath.engine.environments import Environments
from flytepath.model.task import TaskSpec

async def main():
    environments = Environments(Path(sys.argv[1]), log=lambda line: print(line, flush=True))
    print(await environments.python_of(TaskSpec.model_validate_json(sys.argv[2])), flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


class Askers:
    """Processes that ask for an environment and use it until they are told to end."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, engine: Engine, task: TaskSpec, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", ASKER, str(engine.home), task.model_dump_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def askers() -> Iterator[Askers]:
    made = Askers()
    yield made
    made.close()


def test_processes_that_ask_at_once_have_it_made_once(engine: Engine, askers: Askers) -> None:
    started = [askers.start(engine, engine.spec("conflictlib")) for _ in range(3)]
    said = [process.communicate("", timeout=DEADLINE)[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert sum(line.startswith("making ") for lines in said for line in lines) == 1
    assert len({lines[-1] for lines in said}) == 1


def fake_uv(folder: Path, body: str) -> str:
    """A uv that makes an environment, and then does as ``body`` says instead of installing; the ``PATH`` to use."""
    folder.mkdir()
    script = f"""\
        #!/bin/sh
        if [ "$1" = venv ]; then
            for last; do :; done
            exec {sys.executable} -m venv --without-pip "$last"
        fi
        {body}
    """
    (folder / "uv").write_text(textwrap.dedent(script))
    (folder / "uv").chmod(stat.S_IRWXU)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_a_making_that_was_killed_is_not_used_and_its_orphan_is_waited_for(
    engine: Engine, askers: Askers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "pid"
    path = fake_uv(tmp_path / "fake", f"echo $$ > {started}.new; mv {started}.new {started}; exec sleep 600")
    killed = askers.start(engine, engine.spec("conflictlib"), PATH=path, FLYTEPATH_ENVIRONMENT_TOOL="uv")
    orphan = int(until(lambda: started.exists() and started.read_text(), "the installer runs"))
    killed.kill()
    killed.wait()
    [kept] = engine.shelf.all()
    assert kept.state == "building"  # the orphan still writes there
    with pytest.raises(EnvironmentInUseError, match="being made"):
        engine.shelf.remove(kept.digest)
    monkeypatch.setenv("FLYTEPATH_ENVIRONMENT_TOOL", "pip")
    second = askers.start(engine, engine.spec("conflictlib"))
    assert second.stdout is not None
    assert second.stdout.readline().startswith(f"waiting for process {killed.pid} on ")
    os.kill(orphan, signal.SIGKILL)
    rest, _ = second.communicate("", timeout=DEADLINE)
    assert said_by(rest.splitlines()[-1], "import conflictlib; print(conflictlib.VERSION)") == "2.0"
    assert [kept.state for kept in engine.shelf.all()] == ["ready"]


def test_what_is_left_of_others_is_swept(engine: Engine) -> None:
    left = engine.shelf.root / ("0" * 24)
    (left / "bin").mkdir(parents=True)
    (left.with_name(f"{left.name}.build")).mkdir()
    assert [kept.state for kept in engine.shelf.all()] == ["broken"]
    engine.python("conflictlib")
    assert [kept.state for kept in engine.shelf.all()] == ["ready"]
    assert not left.exists()


def test_one_that_was_deleted_or_lost_its_python_is_made_again(engine: Engine) -> None:
    async def asked() -> None:
        environments = Environments(engine.home, log=engine.said.append)
        python = Path(await environments.python_of(engine.spec("conflictlib")))
        shutil.rmtree(python.parent.parent)
        assert Path(await environments.python_of(engine.spec("conflictlib"))).exists()
        python.unlink()
        assert Path(await environments.python_of(engine.spec("conflictlib"))).exists()
        await environments.close()

    asyncio.run(asked())
    assert engine.made == 3


@pytest.mark.parametrize("tool", TOOLS)
def test_a_requirement_that_cannot_be_had_is_named(tool: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTEPATH_ENVIRONMENT_TOOL", tool)
    engine.wheels.add("needy", requires=["nosuchlib>=3"])
    for package, named in (
        ("nosuchlib>=2", "nosuchlib>=2"),
        ("ConflictLib==9.0", "conflictlib==9.0"),
        ("needy", "nosuchlib"),
    ):
        error = engine.error(package)
        assert type(error) is EnvironmentBuildError
        assert f": {named}" in error.message, error
        assert error.message.endswith(" cannot be had"), error
        assert (error.kind, error.recoverable) == ("user", False)
        assert package.lower() in str(error.place)
        [kept] = [one for one in engine.shelf.all() if engine.shelf.log(one.digest).name in str(error.actual)]
        assert kept.state == "failed"
        assert "nosuchlib" in (log := engine.shelf.log(kept.digest).read_text()) or "conflictlib" in log
        engine.shelf.remove(kept.digest)


@pytest.mark.parametrize("tool", TOOLS)
def test_requirements_that_contradict_each_other_are_told_apart_from_missing_ones(
    tool: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTEPATH_ENVIRONMENT_TOOL", tool)
    engine.wheels.add("old-user", requires=["conflictlib<2"])
    assert "does not fit the rest" in engine.error("old-user", "conflictlib==2.0").message


def test_a_failure_is_remembered_for_the_others_that_ask(engine: Engine) -> None:
    async def asked() -> None:
        environments = Environments(engine.home, log=engine.said.append)
        results = [
            *await asyncio.gather(
                *(environments.python_of(engine.spec("nosuchlib")) for _ in range(3)), return_exceptions=True
            ),
            *await asyncio.gather(environments.python_of(engine.spec("nosuchlib")), return_exceptions=True),
        ]
        assert {type(result) for result in results} == {EnvironmentBuildError}
        assert len({id(result) for result in results}) == 4
        await environments.close()

    asyncio.run(asked())
    assert engine.made == 1
    assert engine.error("nosuchlib")  # another process, or a later one, tries for itself
    assert engine.made == 2


@pytest.mark.parametrize("tool", TOOLS)
def test_an_index_out_of_reach_is_a_failure_of_the_system_and_its_password_is_not_told(
    tool: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTEPATH_ENVIRONMENT_TOOL", tool)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    index = {"pip_index": "http://ann:hunter2@127.0.0.1:9/simple", "pip_extra_args": "--no-cache-dir"}
    error = engine.error("conflictlib", **index, pip_extra_index_url=["http://bob:hunter2@127.0.0.1:9/more"])
    assert type(error) is EnvironmentUnavailableError
    assert (error.kind, error.recoverable) == ("system", True)
    [log] = engine.shelf.root.glob("*.log")
    assert "127.0.0.1:9" in log.read_text()
    for text in (str(error), log.read_text(), *engine.said):
        assert "hunter2" not in text


def test_a_library_flytepath_cannot_work_with_is_named_before_anything_is_fetched(engine: Engine) -> None:
    error = engine.error("pydantic==0.1")
    assert "pydantic 0.1" in error.message
    assert error.expected == "pydantic>=2.7"


@pytest.mark.parametrize("tool", TOOLS)
def test_one_that_another_library_brings_does_not_fit_either(
    tool: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTEPATH_ENVIRONMENT_TOOL", tool)
    engine.wheels.add("pydantic", "0.1")
    engine.wheels.add("antique", requires=["pydantic<1"])
    error = engine.error("antique")
    assert "pydantic" in f"{error.message}{error.actual}"
    assert error.kind == "user"
    assert "flytepath's own requirements count too" in str(error.hint)


def test_a_module_that_hides_one_of_ours_is_named(engine: Engine) -> None:
    engine.wheels.add("sneaky", files={"pydantic/__init__.py": "raise ImportError('not the pydantic you know')\n"})
    error = engine.error("sneaky")
    assert "its pydantic is not one that flytepath itself can work with" in error.message


def test_a_library_that_breaks_python_is_an_error_with_what_it_printed(engine: Engine) -> None:
    engine.wheels.add("breaker", files={"sitecustomize.py": "import os\nos.write(2, b'broken here')\nos._exit(3)\n"})
    error = engine.error("breaker")
    assert "no worker starts in it" in error.message
    assert "broken here" in str(error.actual)
    assert "breaker 1.0" in str(error.hint)


def test_flytepath_itself_may_be_asked_for_but_no_other_version(engine: Engine) -> None:
    python = engine.python("flytepath", "conflictlib==1.0")
    assert said_by(python, OURS).endswith(f" {flytepath.__version__} 1")
    assert engine.error("flytepath==0.0.1").expected == f"flytepath=={flytepath.__version__}, or nothing"


@pytest.mark.parametrize("tool", TOOLS)
def test_a_library_that_requires_flytepath_finds_the_engines(
    tool: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTEPATH_ENVIRONMENT_TOOL", tool)
    engine.wheels.add("extension", requires=["flytepath"])
    python = engine.python("extension")
    assert said_by(python, OURS).endswith(f" {flytepath.__version__} 1")
    engine.wheels.add("demanding", requires=["flytepath>=99"])
    assert "flytepath" in str(engine.error("demanding"))


@pytest.mark.parametrize("line", ["--pre", "-e ./here"])
def test_an_option_is_no_requirement(line: str, engine: Engine) -> None:
    assert "pip_extra_args" in str(engine.error(line).hint)


def test_a_python_that_is_not_there_is_an_error_that_says_where_it_was_looked_for(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    error = engine.error(python_version="3.99")
    assert "Python 3.99" in error.message
    for where in ("python3.99 on PATH", "uv", str(tmp_path / "pyenv" / "versions" / "3.99.*")):
        assert where in str(error.actual)


def test_a_making_that_takes_too_long_is_ended_with_all_it_started(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child"
    monkeypatch.setenv("PATH", fake_uv(tmp_path / "fake", f"sleep 600 & echo $! > {child}; wait"))
    monkeypatch.setenv("FLYTEPATH_ENVIRONMENT_TOOL", "uv")
    monkeypatch.setenv("FLYTEPATH_ENVIRONMENT_TIMEOUT", "3")
    error = engine.error("conflictlib")
    assert type(error) is EnvironmentUnavailableError
    assert "within 3 s" in error.message
    assert "FLYTEPATH_ENVIRONMENT_TIMEOUT" in str(error.hint)
    until(lambda: not is_running(int(child.read_text())), "the installer's child is gone")
    assert [kept.state for kept in engine.shelf.all()] == ["failed"]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("name", "value"),
    [("FLYTEPATH_ENVIRONMENT_TIMEOUT", "soon"), ("FLYTEPATH_ENVIRONMENT_TOOL", "conda")],
)
def test_a_setting_that_makes_no_sense_is_named(
    name: str, value: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    error = engine.error("conflictlib")
    assert error.place == name
    assert value in str(error.actual)


def test_a_home_that_cannot_be_written_is_a_failure_of_the_system(engine: Engine) -> None:
    engine.home.write_text("a file")
    error = engine.error("conflictlib")
    assert error.kind == "system"
    assert "FLYTEPATH_HOME" in str(error.hint)


def test_one_in_use_is_not_removed(engine: Engine, askers: Askers) -> None:
    user = askers.start(engine, engine.spec("conflictlib"))
    assert user.stdout is not None
    until(lambda: user.stdout and user.stdout.readline().endswith("python\n"), "the environment is ready")
    [kept] = engine.shelf.all()
    assert (kept.state, kept.size() > 0) == ("ready", True)
    assert kept.card is not None
    assert kept.card.packages == {"conflictlib": "2.0"}
    with pytest.raises(EnvironmentInUseError, match="tasks run in this environment"):
        engine.shelf.remove(kept.digest)
    user.communicate("", timeout=DEADLINE)
    engine.shelf.remove(kept.digest)
    assert engine.shelf.all() == []


def plugin_wheel(wheels: Wheels) -> Path:
    manifest = """
        from flytepath.plugin import CliCommandDeclaration, hookimpl

        @hookimpl
        def flytepath_cli_commands():
            return [CliCommandDeclaration(name="hum", command="flyte_plugin_hum.cli:hum", help="Hum.")]
    """
    return wheels.add(
        "flyte-plugin-hum",
        files={
            "flyte_plugin_hum/__init__.py": "",
            "flyte_plugin_hum/plugin.py": textwrap.dedent(manifest),
            "flyte_plugin_hum/cli.py": "",
        },
        requires=["conflictlib"],
        entry_points="[flytepath.v1]\nhum = flyte_plugin_hum.plugin\n",
    )


PLUGINS = "from flytepath.plugin.manager import current; print([(p.name, p.state) for p in current().plugins])"


@pytest.mark.parametrize("editable", [False, True])
def test_the_plugin_that_runs_a_task_is_there_too_and_others_are_not(
    editable: bool, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    unpacked(engine.wheels.folder / "conflictlib-1.0-py3-none-any.whl", site)
    unpacked(plugin_wheel(engine.wheels), site)
    if editable:
        tree = tmp_path / "tree"
        shutil.move(site / "flyte_plugin_hum", tree / "flyte_plugin_hum")
        (tree / "unrelated.py").write_text("")
        (site / "_hum.pth").write_text(f"{tree}\n")
        (site / "flyte_plugin_hum-1.0.dist-info" / "RECORD").write_text(
            "_hum.pth,,\nflyte_plugin_hum-1.0.dist-info/RECORD,,\n"
        )
        monkeypatch.syspath_prepend(tree)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("FLYTEPATH_HOME", str(engine.home))
    engine.wheels.add("onelib")
    [with_it] = engine.ask(engine.spec("onelib", plugin="flyte-plugin-hum 1.0"))
    [without] = engine.ask(engine.spec("onelib"))
    assert with_it != without
    assert said_by(with_it, PLUGINS) == "[('flytepath', 'enabled'), ('hum', 'enabled')]"
    assert said_by(with_it, "import conflictlib; print(conflictlib.VERSION)") == "1.0"
    assert said_by(with_it, "import importlib.util as u; print(u.find_spec('unrelated'))") == "None"
    assert said_by(without, PLUGINS) == "[('flytepath', 'enabled')]"


def test_a_worker_starts_there_and_greets(engine: Engine) -> None:
    python = engine.python("conflictlib")
    ours, theirs = socket.socketpair()
    command = [python, "-P", "-m", "flytepath.worker", "--messages", str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=(theirs.fileno(),), start_new_session=True) as process:
        theirs.close()
        with ours, ours.makefile("rb") as messages:
            hello = json.loads(messages.read(int.from_bytes(messages.read(4), "big")))
    assert hello["flytepath"] == flytepath.__version__
    assert hello["pid"] == process.pid


def test_what_is_for_images_is_said_to_be_left_out(engine: Engine) -> None:
    engine.python("conflictlib", apt_packages=["git"], conda_packages=["x"])
    assert any("has no apt_packages, conda_packages" in line for line in engine.said)


def test_the_part_of_an_image_that_is_not_for_the_environment_makes_no_other_one() -> None:
    def digest(**image: Any) -> str:
        asked = asked_by({"packages": ["a"], **image})
        assert asked is not None
        return asked.digest("engine")

    assert digest() == digest(name="other", push=True, apt_packages=["git"], env={"A": "1"})
    changed = [
        digest(packages=["a==1"]),
        digest(python_version="3.99"),
        digest(pip_index="http://index"),
        digest(pip_extra_index_url=["http://index"]),
        digest(pip_extra_args="--pre"),
        digest(requirements="r.txt", requirements_text="b"),
        digest(requirements="r.txt", requirements_text="", constraints_text="a<2"),
        digest(content_digests=["x"]),
    ]
    assert len({digest(), *changed}) == len(changed) + 1


@pytest.mark.proof
@pytest.mark.parametrize("tool", TOOLS)
def test_another_python_has_flytepath_too(
    tool: str, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = "3.12" if ENGINE_MINOR != "3.12" else "3.11"
    monkeypatch.setenv("FLYTEPATH_ENVIRONMENT_TOOL", tool)
    monkeypatch.delenv("PIP_CONFIG_FILE")
    try:
        python = engine.python(
            "conflictlib==1.0", python_version=other, pip_extra_args=f"--find-links {engine.wheels.folder}"
        )
    except EnvironmentUnavailableError as error:
        pytest.skip(f"the package index is out of reach: {error.message}")
    except EnvironmentBuildError as error:
        if "there is no Python" not in error.message:
            raise
        pytest.skip(error.message)
    assert said_by(python, OURS) == f"{Path(flytepath.__file__).resolve()} {flytepath.__version__} 1"
    assert said_by(python, "import sys, conflictlib; print(*sys.version_info[:2], conflictlib.VERSION)").split() == [
        *other.split("."),
        "1.0",
    ]
    assert said_by(python, "import importlib.util as u; print(u.find_spec('pytest'))") == "None"
