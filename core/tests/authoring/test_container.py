"""Container tasks: folders of files in and out, a command without a shell, nothing left running."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flytepath import Resources, kwtypes, task, workflow
from flytepath.authoring.call import task_type_name, task_type_of
from flytepath.authoring.declared.image_spec import ImageSpec
from flytepath.authoring.kinds.container import ContainerTask
from flytepath.authoring.kinds.container_run import ContainerRuntimeError
from flytepath.authoring.kinds.processes import ProcessFailedError
from flytepath.errors import DefinitionError, InputError, TypeTransformerFailedError
from flytepath.types.directories import FlyteDirectory
from flytepath.types.files import FlyteFile

HOSTILE = "a'b\"c $(id) `id` ; | & \n é"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the state of a stand-in for docker, which is on the PATH."""
    programs, state = tmp_path / "bin", tmp_path / "state"
    programs.mkdir()
    state.mkdir()
    script = Path(__file__).with_name("fake_docker.py")
    docker = programs / "docker"
    docker.write_text(f'#!/bin/sh\nexec {sys.executable} -I {script} "$@"\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_DOCKER", str(state))
    return state


def shell(line: str, *arguments: str, **others: Any) -> ContainerTask:
    others.setdefault("image", "alpine:3.20")
    return ContainerTask(name="shell", command=["sh", "-c", line, "sh"], arguments=list(arguments), **others)


def test_values_come_in_the_command_and_in_files_and_go_out_in_files(docker: Path) -> None:
    ellipse = shell(
        'echo $(($1 * $2)) > /var/outputs/area; cat /var/inputs/a > /var/outputs/a; printf "%s" "$3" > /var/outputs/c',
        "{{.inputs.a}}",
        "{{ .inputs.b }}",
        "<{{.inputs.c}}>",
        inputs=kwtypes(a=int, b=int, c=str),
        outputs=kwtypes(area=int, a=float, c=str),
    )
    assert ellipse(a=3, b=-4, c=HOSTILE) == (-12, 3.0, f"<{HOSTILE}>")


@dataclass
class Config:
    rate: float
    names: list[str]


def test_all_inputs_stand_in_one_file(docker: Path) -> None:
    import json

    both = shell(
        "cat /var/inputs/inputs.json > /var/outputs/all; cat /var/inputs/config > /var/outputs/config",
        inputs=kwtypes(
            config=Config, day=dt.date, text=str | None, yes=bool, many=dict[str, list[int]], file=FlyteFile
        ),
        outputs=kwtypes(all=str, config=Config),
    )
    everything, config = both(
        config=Config(0.5, ["é"]), day=dt.date(2024, 2, 29), text=None, yes=True, many={"a": [1]}, file=__file__
    )
    assert json.loads(everything) == {
        "config": {"rate": 0.5, "names": ["é"]},
        "day": "2024-02-29",
        "text": None,
        "yes": True,
        "many": {"a": [1]},
        "file": "/var/inputs/file",
    }
    assert config == Config(0.5, ["é"])
    as_yaml = shell(
        "cp /var/inputs/inputs.yaml /var/outputs/o",
        inputs=kwtypes(x=int),
        outputs=kwtypes(o=str),
        metadata_format=ContainerTask.MetadataFormat.YAML,
    )
    assert json.loads(as_yaml(x=1)) == {"x": 1}


def test_files_and_directories_go_through_a_workflow(docker: Path, tmp_path: Path) -> None:
    split = ContainerTask(
        name="split",
        image="alpine:3.20",
        command=["sh", "-c", 'mkdir /data/out/parts && split -l 1 "$0" /data/out/parts/', "{{.inputs.whole}}"],
        inputs=kwtypes(whole=FlyteFile),
        outputs=kwtypes(parts=FlyteDirectory),
        input_data_dir="/data/in",
        output_data_dir="/data/out/",
    )
    join = shell(
        "cat /var/inputs/parts/* > /var/outputs/whole; echo more >> /var/inputs/parts/aa",
        inputs=kwtypes(parts=FlyteDirectory),
        outputs=kwtypes(whole=FlyteFile["txt"]),
    )

    @task
    def read(file: FlyteFile) -> str:
        with file.open("r") as stream:
            return str(stream.read())

    @workflow
    def there_and_back(whole: FlyteFile) -> str:
        return read(file=join(parts=split(whole=whole)))

    given = tmp_path / "given.txt"
    given.write_text("one\ntwo\n")
    assert there_and_back(whole=given) == "one\ntwo\n"
    assert given.read_text() == "one\ntwo\n"


def test_environment_limits_and_an_image_of_an_entry_point(docker: Path) -> None:
    own = ContainerTask(
        name="own",
        image="tools:1",
        command=[],
        arguments=["/bin/sh", "-c", 'echo "$MINE" > /var/outputs/o'],
        outputs=kwtypes(o=str),
        environment={"MINE": "a=b c"},
        requests=Resources(cpu="1"),
        limits=Resources(mem="64Mi", cpu="1500m", gpu="1"),
    )
    assert own() == "a=b c"
    options = (docker / "options").read_text()
    assert "'--memory': ['67108864'], '--cpus': ['1.5'], '--gpus': ['1']" in options
    assert "'-e': ['MINE']" in options
    assert "--entrypoint" not in options


def test_files_may_be_left_where_they_are(docker: Path) -> None:
    asked = shell(
        "ls /var/inputs | wc -l > /var/outputs/count",
        inputs=kwtypes(x=int),
        outputs=kwtypes(count=int),
        io_strategy=ContainerTask.IOStrategy.DO_NOT_DOWNLOAD,
    )
    assert asked(x=1) == 0


# --- what fails --------------------------------------------------------------------------------------------------


def test_a_failure_says_the_status_and_the_end_of_the_error_stream(docker: Path) -> None:
    with pytest.raises(ProcessFailedError, match="exit status 7") as caught:
        shell("echo the cause >&2; exit 7")()
    assert "the cause" in caught.value.message
    assert caught.value.place == "shell"
    with pytest.raises(ProcessFailedError, match="exit status 127"):
        ContainerTask(name="none", image="alpine", command=["/nowhere/at-all"])()


def test_outputs_that_are_missing_or_of_another_type(docker: Path) -> None:
    with pytest.raises(ProcessFailedError, match="did not write the output 'o'") as caught:
        shell("true", outputs=kwtypes(o=int))()
    assert caught.value.place == "shell() -> o"
    assert caught.value.expected == "/var/outputs/o"
    with pytest.raises(TypeTransformerFailedError, match="three"):
        shell("echo three > /var/outputs/o", outputs=kwtypes(o=int))()
    with pytest.raises(InputError, match="NUL"):
        shell("true", "{{.inputs.x}}", inputs=kwtypes(x=str))(x="\0")


def test_an_image_that_cannot_be_had_is_the_runtimes_failure(docker: Path) -> None:
    with pytest.raises(ContainerRuntimeError, match="pull access denied"):
        ContainerTask(name="absent", image="absent:1", command=["true"])()


def test_without_docker_and_podman_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContainerRuntimeError, match="nothing on this machine") as caught:
        shell("true")()
    assert caught.value.expected == "docker or podman on the PATH"
    assert "cluster" in (caught.value.hint or "")


def test_podman_will_do(docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    podman = tmp_path / "only" / "podman"
    podman.parent.mkdir()
    shutil.copy(tmp_path / "bin" / "docker", podman)
    monkeypatch.setenv("PATH", str(podman.parent))
    assert shell("echo 1 > /var/outputs/o", outputs=kwtypes(o=int))() == 1


def test_what_it_prints_is_passed_on_when_asked(docker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell("echo quiet")()
    shell("echo loud; echo worse >&2", local_logs=True)()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("loud\n", "worse\n")


# --- nothing outlives it -----------------------------------------------------------------------------------------


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


SLEEPER = """
from flytepath import kwtypes
from flytepath.authoring.kinds.container import ContainerTask
ContainerTask(name="sleeper", image="alpine", command=["sh", "-c", "sleep 1000 & wait"])()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_container_ends_with_the_process_that_waits_for_it(docker: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER], start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: any(path.name.startswith("flytepath-") and path.read_text() for path in docker.iterdir()))
        container = int(next(docker.glob("flytepath-*")).read_text())
        os.killpg(container, 0)
        os.kill(process.pid, number) if number == signal.SIGINT else os.killpg(process.pid, number)
        wait_until((docker / "removed").exists)
        assert not list(docker.glob("flytepath-*"))
    finally:
        process.kill()
        process.wait()


# --- definition --------------------------------------------------------------------------------------------------


def test_the_compiled_task_says_all_that_a_backend_needs() -> None:
    image = ImageSpec(name="tool", registry="registry.example", packages=["numpy==2.0"])
    container = ContainerTask(
        name="compiled",
        image=image,
        command=["run", "{{.inputs.x}}", "--format={{.ID}}", "{{ name }}"],
        inputs=kwtypes(x=int),
        outputs=kwtypes(y=str),
        environment={"A": "1"},
        io_strategy=ContainerTask.IOStrategy.DOWNLOAD_EAGER,
        retries=2,
    )
    assert task_type_name(container) == "container"
    assert task_type_of(container).local_fidelity == "emulated"
    assert task_type_of(container).compile(container.declaration()) == {
        "image": image.image_name(),
        "image_spec": image.to_json(),
        "command": ["run", "{{.inputs.x}}", "--format={{.ID}}", "{{ name }}"],
        "arguments": [],
        "input_data_dir": "/var/inputs",
        "output_data_dir": "/var/outputs",
        "metadata_format": "json",
        "environment": {"A": "1"},
        "local_logs": False,
        "io_strategy": "download_eager",
    }
    assert container.settings.retries == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"command": ["echo", "{{.inputs.zz}}"]}, "names no input"),
        ({"command": ["echo", "{{ .outputPrefix }}"]}, "names no input"),
        ({"command": "echo hello"}, "list of text"),
        ({"command": ["echo", 1]}, "list of text"),
        ({"command": [], "image": ""}, "the image is its name"),
        ({"command": [], "image": "--privileged"}, "the image is its name"),
        ({"command": [], "image": 3}, "the image is its name"),
        ({"command": [], "input_data_dir": "relative"}, "absolute path"),
        ({"command": [], "input_data_dir": "/"}, "absolute path"),
        ({"command": [], "output_data_dir": "/a:b"}, "absolute path"),
        ({"command": [], "input_data_dir": "/a", "output_data_dir": "/a/b"}, "folders apart"),
        ({"command": [], "metadata_format": "json"}, "unknown metadata format"),
        ({"command": [], "io_strategy": "eager"}, "unknown io strategy"),
        ({"command": [], "inputs": {"x": list[FlyteFile]}}, "cannot be handed to a container"),
        (
            {"command": [], "outputs": {"x": int}, "io_strategy": ContainerTask.IOStrategy.DO_NOT_UPLOAD},
            "never taken",
        ),
        ({"command": [], "no_such_setting": 1}, "no setting"),
    ],
)
def test_containers_that_can_never_run(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        ContainerTask(**{"name": "wrong", "image": "alpine", **arguments})


def test_frames_are_no_files_and_protocol_buffers_are_not_written_here(docker: Path) -> None:
    import pandas as pd

    with pytest.raises(DefinitionError, match="cannot be handed"):
        ContainerTask(name="wrong", image="alpine", command=[], inputs=kwtypes(x=pd.DataFrame))
    with pytest.raises(DefinitionError, match="cannot be read from a file"):
        ContainerTask(name="wrong", image="alpine", command=[], outputs=kwtypes(x=pd.DataFrame))
    with pytest.raises(DefinitionError, match="protocol buffers"):
        shell("true", metadata_format=ContainerTask.MetadataFormat.PROTO)()
