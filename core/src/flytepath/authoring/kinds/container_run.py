"""A container task on this machine: its files in two folders, and ``docker`` or ``podman`` around them."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flytepath.authoring.context import LOCAL_EXECUTION
from flytepath.authoring.kinds.container import (
    FOLDER_VARIABLES,
    STAGE_VARIABLE,
    TEMPLATE,
    ContainerConfig,
    IOStrategy,
    MetadataFormat,
)
from flytepath.authoring.kinds.processes import ProcessFailedError, ProcessResult, failure, run_process
from flytepath.authoring.kinds.written_outputs import read_output
from flytepath.errors import DefinitionError, InputError, TaskFailedError
from flytepath.plugin.task_type import NO_OUTPUT

if TYPE_CHECKING:
    from flytepath.plugin.task_type import TaskContext

#: The first that is on the PATH runs the container.
_RUNTIMES: Final = ("docker", "podman")
#: How both of them end when they, and not the container, have failed.
_RUNTIME_FAILED: Final = 125
_LISTS: Final = {MetadataFormat.JSON: "inputs.json", MetadataFormat.YAML: "inputs.yaml"}
#: Removes the container when the pipe to it closes, which the death of the process that waits for the container does
#: too. More than once, for a container that is only just being made.
_WATCH: Final = 'cat >/dev/null; for _ in 1 2 3; do "$0" rm -f "$1" >/dev/null 2>&1; sleep 1; done'


class ContainerRuntimeError(TaskFailedError):
    """This machine cannot run containers, or not this one."""

    code = "FP-CONTAINER-RUNTIME"


def run_container(context: TaskContext, inputs: Mapping[str, Any]) -> Any:
    """Run the container of a task to its end; its outputs.

    Raises:
        ContainerRuntimeError: neither docker nor podman is there, or it could not start the container.
        ProcessFailedError: the container ended with another status than 0, or did not write an output.
    """
    from flytepath.types.transfers import fresh_folder

    runtime = _runtime(context.declaration.name)
    folder = fresh_folder()
    given, left = folder / "inputs", folder / "outputs"
    for path in (given, left):
        path.mkdir()
        # The image may run as a user of its own.
        path.chmod(0o777)
    config = ContainerConfig.from_payload(context.payload)
    texts = _write_inputs(config, inputs, given, context.declaration.name)
    command = [_filled(part, texts) for part in config.command]
    arguments = [_filled(part, texts) for part in config.arguments]
    name = f"flytepath-{uuid.uuid4().hex}"
    options = [
        *("run", "--rm", "--name", name),
        *("-v", f"{given}:{config.input_data_dir}", "-v", f"{left}:{config.output_data_dir}"),
        # The values stand in the environment of the command, not in its arguments, which others can list.
        *(part for variable, _ in config.environment for part in ("-e", variable)),
        *_limits(context),
        *(("--entrypoint", command[0]) if command else ()),
    ]
    argv = [runtime, *options, config.image_name, *command[1:], *arguments]
    is_direct = context.execution_id == LOCAL_EXECUTION
    with _watched(runtime, name):
        result = run_process(
            argv,
            folder=folder,
            env={**os.environ, **dict(config.environment)},
            own_group=is_direct,
            quiet=is_direct and not config.local_logs,
        )
    if result.returncode != 0:
        raise _failed(context, Path(runtime).name, result)
    return _outputs(context, config, left)


def run_stage(stage: str, context: TaskContext, inputs: Mapping[str, Any]) -> Any:
    """Do what is to be done before or after the container that somebody else runs, a cluster for instance.

    Args:
        stage: ``inputs`` writes the container's files and gives no outputs, ``outputs`` reads what it has left.
        context: the attempt.
        inputs: its inputs.

    Raises:
        ContainerRuntimeError: there is no such stage, or nobody says where the files lie.
        ProcessFailedError: the container did not write an output.
    """
    folder = os.environ.get(FOLDER_VARIABLES.get(stage, ""))
    if not folder:
        raise ContainerRuntimeError(
            f"whoever runs the container of task {context.declaration.name} does not say where its files lie",
            place=context.declaration.name,
            expected=", ".join(f"{STAGE_VARIABLE}={one} with {name}" for one, name in FOLDER_VARIABLES.items()),
            actual=f"{STAGE_VARIABLE}={stage}",
        )
    config = ContainerConfig.from_payload(context.payload)
    if stage == "outputs":
        return _outputs(context, config, Path(folder))
    _write_inputs(config, inputs, Path(folder), context.declaration.name)
    return NO_OUTPUT


def _runtime(task: str) -> str:
    for name in _RUNTIMES:
        found = shutil.which(name)
        if found is not None:
            return found
    raise ContainerRuntimeError(
        f"task {task} is a container, and there is nothing on this machine to run one",
        place=task,
        expected="docker or podman on the PATH",
        actual="neither",
        hint="install one of them, or run it on a backend of a cluster, such as Kubernetes",
    )


@contextmanager
def _watched(runtime: str, name: str) -> Iterator[None]:
    """Nothing outlives the attempt: neither an error nor the death of this process leaves the container running."""
    watch = subprocess.Popen(
        ["/bin/sh", "-c", _WATCH, runtime, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    except BaseException:
        subprocess.run([runtime, "rm", "-f", name], check=False, capture_output=True)
        raise
    finally:
        watch.kill()
        watch.communicate()


def _failed(context: TaskContext, runtime: str, result: ProcessResult) -> TaskFailedError:
    task = context.declaration.name
    if result.returncode != _RUNTIME_FAILED:
        return failure(f"the container of task {task}", result, task)
    return ContainerRuntimeError(
        f"{runtime} could not run the image {context.payload['image']}: {result.error.strip()[-2000:]}",
        place=task,
        expected=f"an image that is here or can be pulled, and a {runtime} that is running",
        hint="build the image of the ImageSpec first" if "image_spec" in context.payload else None,
    )


def _limits(context: TaskContext) -> Iterator[str]:
    limits, requests = context.declaration.limits, context.declaration.requests
    if limits.mem is not None:
        yield from ("--memory", str(limits.mem_bytes))
    if limits.cpu is not None:
        yield from ("--cpus", f"{limits.cpu_cores:g}")
    gpu = limits.gpu or requests.gpu
    if gpu:
        yield from ("--gpus", str(gpu))


# --- inputs ------------------------------------------------------------------------------------------------------


def _write_inputs(config: ContainerConfig, inputs: Mapping[str, Any], folder: Path, task: str) -> dict[str, str]:
    """Write each input to a file, and all to one; the text that stands for each in the command."""
    from flytepath.types.files import FlyteFile
    from flytepath.types.located import Located
    from flytepath.types.transfers import clone

    if config.metadata_format not in _LISTS:
        raise DefinitionError(
            "protocol buffers are written on clusters only",
            place=f"{task}(metadata_format)",
            expected="ContainerTask.MetadataFormat.JSON or YAML",
        )
    texts: dict[str, str] = {}
    everything: dict[str, Any] = {}
    wanted = config.io_strategy is not IOStrategy.DO_NOT_DOWNLOAD
    for name, value in inputs.items():
        path = folder / name
        if isinstance(value, Located):
            texts[name] = everything[name] = f"{config.input_data_dir}/{name}"
            if wanted and isinstance(value, FlyteFile):
                clone(Path(value.download()), path)
            elif wanted:
                shutil.copytree(value.download(), path)
            continue
        everything[name] = plain = _plain(value)
        texts[name] = text = _text(plain)
        if "\0" in text:
            raise InputError(f"input {name!r} holds a NUL character", place=f"{task}({name})")
        if wanted:
            path.write_text(text, encoding="utf-8", newline="")
    if wanted:
        # All JSON is YAML.
        listed = json.dumps(everything, ensure_ascii=False, indent=2)
        (folder / _LISTS[config.metadata_format]).write_text(listed, encoding="utf-8")
    return texts


def _plain(value: Any) -> Any:
    """A value as people write it in JSON."""
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=repr)
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)


def _text(plain: Any) -> str:
    if plain is None:
        return ""
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _filled(part: str, texts: Mapping[str, str]) -> str:
    """A part of the command with its inputs. No shell reads it, so that a value is never more than a value."""
    return TEMPLATE.sub(
        lambda found: texts[found.group(2)] if found.group(1).lower() == "inputs" else found.group(0), part
    )


# --- outputs -----------------------------------------------------------------------------------------------------


def _outputs(context: TaskContext, config: ContainerConfig, folder: Path) -> Any:
    found = []
    for name, declared in context.declaration.outputs.items():
        where = f"{context.declaration.name}() -> {name}"
        if not (folder / name).exists():
            raise ProcessFailedError(
                f"the container of task {context.declaration.name} did not write the output {name!r}",
                place=where,
                expected=f"{config.output_data_dir}/{name}",
                actual="nothing is there",
            )
        found.append(read_output(context.declaration.python_outputs[name], declared.kind, folder / name, where))
    return tuple(found) if len(found) > 1 else found[0] if found else None
