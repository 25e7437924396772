"""The configuration of a notebook's run, and the task type that it selects."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, ClassVar, Final

from flytepath.plugin import DefinitionError, TaskDeclaration, TaskType

from flyte_plugin_papermill.notebook import kernel_name

_PYTHON_OF_THE_WORKER: Final = "python3"


@dataclasses.dataclass(frozen=True, slots=True)
class NotebookConfig:
    """How a notebook is run: what a :class:`NotebookTask` without another ``task_config`` is configured by.

    A node may run it in another way: ``report(...).with_overrides(task_config=NotebookConfig(kernel_name="other"))``.

    Args:
        kernel_name: the kernel; by default the one that the notebook names.
        engine_name: papermill's engine; by default its own.
        start_timeout: seconds for the kernel to start.
        execution_timeout: seconds for each cell; by default there is no limit but the task's ``timeout``.
        stream_logs: what cells print goes to the attempt's log while they run.
        check_kernel: when compiled for the workers of this machine, refuse a kernel that is not installed on it.

    Raises:
        DefinitionError: a value that cannot be meant.

    Example:
        >>> NotebookConfig(execution_timeout=600).execution_timeout
        600
    """

    kernel_name: str | None = None
    engine_name: str | None = None
    start_timeout: int = 60
    execution_timeout: int | None = None
    stream_logs: bool = True
    check_kernel: bool = True

    def __post_init__(self) -> None:
        for name in ("kernel_name", "engine_name"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value.strip()):
                raise _wrong(name, "a name, or None", value)
        for name in ("start_timeout", "execution_timeout"):
            value = getattr(self, name)
            if (type(value) is not int or value < 1) and not (name == "execution_timeout" and value is None):
                raise _wrong(name, "a whole number of seconds above 0", value)
        for name in ("stream_logs", "check_kernel"):
            if type(getattr(self, name)) is not bool:
                raise _wrong(name, "True or False", getattr(self, name))


def _wrong(name: str, expected: str, value: Any) -> DefinitionError:
    return DefinitionError(
        f"{name} cannot be {value!r}", place=f"NotebookConfig({name})", expected=expected, actual=repr(value)[:200]
    )


class NotebookTaskType(TaskType):
    """Runs the notebook, which travels with the compiled task, where the attempt runs."""

    local_fidelity: ClassVar[Any] = "full"

    def compile(self, declaration: TaskDeclaration) -> dict[str, Any]:
        """The configuration as plain data.

        Raises:
            DefinitionError: the workers of this machine have no such kernel.
        """
        config: NotebookConfig = declaration.config
        if config.check_kernel and declaration.backend == "local" and declaration.source:
            _check_installed(config.kernel_name or kernel_name(json.loads(declaration.source)), declaration.name)
        return dataclasses.asdict(config)


def _check_installed(name: str, task: str) -> None:
    if name in ("", _PYTHON_OF_THE_WORKER):
        return  # comes with ipykernel, which this package depends on
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ModuleNotFoundError:
        return  # whoever compiles here runs nothing here
    try:
        KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel as error:
        raise DefinitionError(
            f"there is no kernel {name!r} on this machine, whose workers are to run the notebook",
            place=f"{task}(kernel_name)",
            expected=", ".join(sorted(KernelSpecManager().find_kernel_specs())) or "an installed kernel",
            actual=name,
            hint="kernel_name='python3' is the Python of the worker; else install it, or name a backend that has it",
        ) from error
