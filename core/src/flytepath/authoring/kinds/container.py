"""``ContainerTask``: any image and command as a task, with inputs and outputs as files in two folders."""

from __future__ import annotations

import enum
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from flytepath.authoring.kinds.written_outputs import check_output_kind
from flytepath.authoring.task import PythonInstanceTask
from flytepath.errors import DefinitionError
from flytepath.plugin.task_type import TaskType

if TYPE_CHECKING:
    from flytepath.authoring.declared.image_spec import ImageSpec
    from flytepath.model.types import LiteralType
    from flytepath.plugin.task_type import CallBody, Json, TaskContext, TaskDeclaration

#: Set where somebody else runs the container: ``inputs`` writes its files before it, ``outputs`` reads them after it.
STAGE_VARIABLE: Final = "FLYTEPATH_CONTAINER_STAGE"
#: The folders of its files, as the worker of a stage sees them.
FOLDER_VARIABLES: Final = {"inputs": "FLYTEPATH_CONTAINER_INPUTS", "outputs": "FLYTEPATH_CONTAINER_OUTPUTS"}
INPUT_FOLDER: Final = "/var/inputs"
OUTPUT_FOLDER: Final = "/var/outputs"
#: A template of ours. Everything else between braces is the command's own.
TEMPLATE: Final = re.compile(r"\{\{\s*\.(\w+)(?:\.(\w+))?\s*\}\}")
_OF_OTHERS: Final = frozenset({"input", "inputprefix", "outputprefix", "rawoutputdataprefix", "perretryuniquekey"})
_BLOBS: Final = frozenset({"file", "directory"})
_UNWRITABLE: Final = frozenset({"dataframe", "iterator", "opaque"})


class MetadataFormat(enum.Enum):
    """In which format the file that lists all inputs is written: ``inputs.json``, ``inputs.yaml``, ``inputs.pb``."""

    JSON = 0
    YAML = 1
    PROTO = 2


class IOStrategy(enum.Enum):
    """When the files of inputs are brought to the container, and those of outputs taken from it."""

    DOWNLOAD_EAGER = "download_eager"
    DOWNLOAD_STREAM = "download_stream"
    DO_NOT_DOWNLOAD = "do_not_download"
    UPLOAD_EAGER = "upload_eager"
    UPLOAD_ON_EXIT = "upload_on_exit"
    DO_NOT_UPLOAD = "do_not_upload"


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """What runs; see :class:`ContainerTask`. It selects the task type."""

    image: str | ImageSpec
    command: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    input_data_dir: str = INPUT_FOLDER
    output_data_dir: str = OUTPUT_FOLDER
    metadata_format: MetadataFormat = MetadataFormat.JSON
    io_strategy: IOStrategy | None = None
    environment: tuple[tuple[str, str], ...] = ()
    local_logs: bool = False

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> ContainerConfig:
        """What was compiled, with the image's name in place of an ``ImageSpec``."""
        strategy = payload.get("io_strategy")
        return cls(
            image=payload["image"],
            command=tuple(payload["command"]),
            arguments=tuple(payload["arguments"]),
            input_data_dir=payload["input_data_dir"],
            output_data_dir=payload["output_data_dir"],
            metadata_format=MetadataFormat[payload["metadata_format"].upper()],
            io_strategy=None if strategy is None else IOStrategy(strategy),
            environment=tuple(payload["environment"].items()),
            local_logs=payload["local_logs"],
        )

    @property
    def image_name(self) -> str:
        """The image as a registry knows it."""
        return self.image if isinstance(self.image, str) else self.image.image_name()


class ContainerTaskType(TaskType):
    """A container: on a backend that runs them as they are, on this machine through ``docker`` or ``podman``."""

    local_fidelity: ClassVar[Literal["full", "emulated", "unsupported"]] = "emulated"
    ignored_settings: ClassVar[frozenset[str]] = frozenset({"container_image"})

    def compile(self, declaration: TaskDeclaration) -> Json:
        config: ContainerConfig = declaration.config
        payload: dict[str, Any] = {
            "image": config.image_name,
            "command": list(config.command),
            "arguments": list(config.arguments),
            "input_data_dir": config.input_data_dir,
            "output_data_dir": config.output_data_dir,
            "metadata_format": config.metadata_format.name.lower(),
            "environment": dict(config.environment),
            "local_logs": config.local_logs,
        }
        if config.io_strategy is not None:
            payload["io_strategy"] = config.io_strategy.value
        if not isinstance(config.image, str):
            payload["image_spec"] = config.image.to_json()
        return payload

    def execute(self, context: TaskContext, inputs: Mapping[str, Any], call_body: CallBody) -> Any:
        import os

        from flytepath.authoring.kinds.container_run import run_container, run_stage

        stage = os.environ.get(STAGE_VARIABLE)
        return run_stage(stage, context, inputs) if stage else run_container(context, inputs)


class ContainerTask(PythonInstanceTask):
    """A container as a task: any image, any language. Assign it to a module variable, that is how a worker finds it.

    An input is a file below ``input_data_dir`` named after it: text, a number or a date as text, a file or directory as
    itself, anything else as JSON; ``inputs.json`` holds all. ``{{.inputs.x}}`` in the command is the same text, or the
    path in the container of a file. The container leaves each output in a file below ``output_data_dir`` that is named
    after the output.

    On this machine it runs through ``docker`` or ``podman``, whichever is on the ``PATH``.

    Args:
        name: the task's name, unique in its project.
        image: an image, or an :class:`ImageSpec` of one that is built already.
        command: in place of the image's entry point; an empty list leaves that.
        inputs: types by name.
        metadata: settings as one object.
        arguments: what follows the command.
        outputs: types by name.
        requests, limits: the resources it asks for and may use.
        input_data_dir, output_data_dir: two folders in the container, by default ``/var/inputs`` and ``/var/outputs``.
        metadata_format: of the file that lists all inputs.
        io_strategy: when files are brought and taken; for backends that can choose.
        local_logs: pass on what the container prints in a direct call; a durable run always keeps it.
        environment: environment variables of the container.
        **kwargs: as for ``task``: ``retries``, ``timeout``, ``secret_requests``, ``pod_template``, ...

    Raises:
        DefinitionError: a template that names no input, folders that are not absolute or lie in each other, or types
            that cannot be files.

    Example:
        >>> from flytepath import kwtypes
        >>> area = ContainerTask(
        ...     name="ellipse",
        ...     image="alpine:3.20",
        ...     command=["sh", "-c", "echo $(( $0 * $1 * 3 )) > /var/outputs/area", "{{.inputs.a}}", "{{.inputs.b}}"],
        ...     inputs=kwtypes(a=int, b=int),
        ...     outputs=kwtypes(area=int),
        ... )
        >>> area.task_config.image_name
        'alpine:3.20'
    """

    MetadataFormat: ClassVar[type[MetadataFormat]] = MetadataFormat
    IOStrategy: ClassVar[type[IOStrategy]] = IOStrategy

    def __init__(
        self,
        name: str,
        image: str | ImageSpec,
        command: Sequence[str],
        inputs: Mapping[str, Any] | None = None,
        metadata: Any = None,
        arguments: Sequence[str] | None = None,
        outputs: Mapping[str, Any] | None = None,
        requests: Any = None,
        limits: Any = None,
        input_data_dir: str | None = None,
        output_data_dir: str | None = None,
        metadata_format: Any = MetadataFormat.JSON,
        io_strategy: Any = None,
        local_logs: bool = False,
        environment: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(metadata_format, MetadataFormat):
            raise DefinitionError(
                "unknown metadata format",
                place=f"{name}(metadata_format)",
                expected=", ".join(f"ContainerTask.MetadataFormat.{one.name}" for one in MetadataFormat),
                actual=repr(metadata_format),
            )
        if io_strategy is not None and not isinstance(io_strategy, IOStrategy):
            raise DefinitionError(
                "unknown io strategy",
                place=f"{name}(io_strategy)",
                expected=", ".join(f"ContainerTask.IOStrategy.{one.name}" for one in IOStrategy),
                actual=repr(io_strategy),
            )
        config = ContainerConfig(
            image=_checked_image(name, image),
            command=_texts(name, "command", command),
            arguments=_texts(name, "arguments", arguments or ()),
            input_data_dir=_folder(name, "input_data_dir", input_data_dir or INPUT_FOLDER),
            output_data_dir=_folder(name, "output_data_dir", output_data_dir or OUTPUT_FOLDER),
            metadata_format=metadata_format,
            io_strategy=io_strategy,
            environment=tuple((environment or {}).items()),
            local_logs=local_logs,
        )
        if io_strategy is IOStrategy.DO_NOT_UPLOAD and outputs:
            raise DefinitionError(
                "outputs are declared that are never taken from the container",
                place=f"{name}(io_strategy)",
                actual="DO_NOT_UPLOAD",
            )
        _check_apart(name, config.input_data_dir, config.output_data_dir)
        super().__init__(
            name=name,
            task_config=config,
            inputs=inputs,
            outputs=outputs,
            task_type="raw-container",
            metadata=metadata,
            requests=requests,
            limits=limits,
            environment=environment,
            container_image=image,
            **kwargs,
        )
        self._check_templates(config)
        for variable, codec in self.input_codecs.items():
            _check_input_kind(codec.literal_type, f"{name}({variable})")
        for variable, codec in self.output_codecs.items():
            check_output_kind(codec.literal_type, f"{name}() -> {variable}")

    def _check_templates(self, config: ContainerConfig) -> None:
        for text in (*config.command, *config.arguments):
            for found in TEMPLATE.finditer(text):
                root, name = found.group(1).lower(), found.group(2)
                if (root == "inputs" and name not in self.inputs) or root in _OF_OTHERS:
                    raise DefinitionError(
                        f"{found.group(0)} names no input",
                        place=f"{self.name}(command)",
                        expected=", ".join(f"{{{{.inputs.{known}}}}}" for known in self.inputs) or "no templates",
                        actual=found.group(0),
                        hint=f"outputs are written to {config.output_data_dir}" if root in _OF_OTHERS else None,
                    )


def _checked_image(name: str, image: Any) -> str | ImageSpec:
    if isinstance(image, str) and image.strip() and not image.startswith("-") and not re.search(r"\s", image):
        return image
    if hasattr(image, "image_name") and hasattr(image, "to_json"):
        return image  # type: ignore[no-any-return]
    raise DefinitionError(
        "the image is its name or an ImageSpec", place=f"{name}(image)", expected="alpine:3.20", actual=repr(image)
    )


def _texts(name: str, argument: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(one, str) for one in given):
        raise DefinitionError(
            f"the {argument} is a list of text",
            place=f"{name}({argument})",
            expected='["sh", "-c", "echo hello"]',
            actual=repr(given),
            hint='a line for a shell is ["sh", "-c", line]' if isinstance(given, str) else None,
        )
    return tuple(given)


def _folder(name: str, argument: str, given: Any) -> str:
    folder = posixpath.normpath(given) if isinstance(given, str) else ""
    if not folder.startswith("/") or folder.strip("/") == "" or ":" in folder:
        raise DefinitionError(
            "the folder is an absolute path in the container",
            place=f"{name}({argument})",
            expected="for example /var/inputs",
            actual=repr(given),
        )
    return folder


def _check_apart(name: str, first: str, second: str) -> None:
    if f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/"):
        raise DefinitionError(
            "inputs and outputs need folders apart",
            place=f"{name}(output_data_dir)",
            expected="two folders, neither in the other",
            actual=f"{first} and {second}",
        )


def _check_input_kind(declared: LiteralType, place: str, outermost: bool = True) -> None:
    if declared.kind in _UNWRITABLE or (declared.kind in _BLOBS and not outermost):
        raise DefinitionError(
            f"a value of type {declared} cannot be handed to a container",
            place=place,
            expected="FlyteFile, FlyteDirectory, or a type whose text or JSON the container reads",
            actual=str(declared),
            hint="hand over a file that holds it" if outermost else "make each file an input of its own",
        )
    for item in declared.items:
        _check_input_kind(item, place, outermost and declared.kind == "union")
    for field in declared.fields:
        _check_input_kind(field.type, place, outermost=False)
