"""One run of a notebook: on a copy in the attempt's own folder, in a kernel that ends with the attempt."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flytepath.plugin import variables_set

from flyte_plugin_papermill import exchange
from flyte_plugin_papermill.errors import (
    EngineMissingError,
    KernelDiedError,
    KernelMissingError,
    KernelStartError,
    NotebookError,
    NotebookTimeoutError,
    PapermillMissingError,
)

if TYPE_CHECKING:
    from flyte_plugin_papermill.engine import Watch
    from flyte_plugin_papermill.kernels import KernelPlace

_PACKAGES: Final = ("papermill", "nbclient", "nbconvert", "nbformat", "ipykernel", "jupyter_client")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a notebook is run: see :class:`~flyte_plugin_papermill.NotebookConfig`."""

    kernel_name: str | None = None
    engine_name: str | None = None
    start_timeout: int = 60
    execution_timeout: int | None = None
    stream_logs: bool = False


@dataclass(slots=True)
class Run:
    """The folder of one run, and what is in it.

    Args:
        task: the task's name.
        folder: an empty folder of this run's own.
    """

    task: str
    folder: Path
    work: Path = field(init=False)
    exchange: Path = field(init=False)
    executed: Path = field(init=False)

    def __post_init__(self) -> None:
        self.work = self.folder / "work"
        self.exchange = self.folder / "exchange"
        self.executed = self.folder / "executed.ipynb"
        self.work.mkdir(parents=True)
        self.exchange.mkdir()

    @classmethod
    def below(cls, folder: Path, task: str) -> Run:
        """A run in a new folder below ``folder``."""
        return cls(task, Path(tempfile.mkdtemp(prefix="notebook-", dir=folder)))

    def notebook(self) -> Any:
        """The notebook as far as it was executed; ``None`` where nothing was."""
        with libraries():
            import nbformat

            return nbformat.read(self.executed, as_version=4) if self.executed.is_file() else None


@contextmanager
def libraries() -> Iterator[None]:
    """What runs and renders notebooks is imported inside; a library that is missing is told with the remedy."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _PACKAGES:
            raise
        raise PapermillMissingError(
            f"{missing} is not installed where the task runs",
            expected="the packages that flyte-plugin-papermill depends on",
            hint="pip install flyte-plugin-papermill, there or in the task's image",
        ) from error


def execute(
    run: Run,
    source: str,
    parameters: Mapping[str, Any],
    settings: Settings,
    imports: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
) -> None:
    """Execute the notebook ``source`` with ``parameters``; what came of it lies at ``run.executed``.

    Args:
        run: where.
        source: the notebook.
        parameters: plain data by name.
        settings: how.
        imports: folders for the import path of a Python kernel.
        variables: further environment variables of the kernel.

    Raises:
        NotebookError: the kernel or the engine is missing, did not start, died, or a cell took too long. That a cell
            raised is no error here: see :func:`~flyte_plugin_papermill.verdict.failure_of`.
    """
    with libraries():
        from flyte_plugin_papermill.engine import Watch
        from flyte_plugin_papermill.kernels import KernelPlace, manager_for, socket_folder
    given = run.folder / "given.ipynb"
    given.write_text(source, encoding="utf-8")
    place = KernelPlace(run.folder, run.work, {**_environment(run, imports), **(variables or {})})
    sockets = socket_folder()
    try:
        manager = manager_for(place, None if sockets is None else Path(sockets.name))
        watch = Watch(settings.engine_name, manager, _teller())
        with _told(run.task, settings, watch, place):
            Context().run(_call, run, given, parameters, settings, watch, place)
    finally:
        if sockets is not None:
            sockets.cleanup()


def _call(
    run: Run, given: Path, parameters: Mapping[str, Any], settings: Settings, watch: Watch, place: KernelPlace
) -> None:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from flyte_plugin_papermill.engine import ENGINE, takes_managers

    streams = {"stdout_file": sys.stdout, "stderr_file": sys.stderr} if settings.stream_logs else {}
    more: dict[str, Any] = (
        {} if settings.execution_timeout is None else {"execution_timeout": settings.execution_timeout}
    )
    # Other engines start kernels as this process would: in its folder, with its variables.
    foreign = not takes_managers(settings.engine_name)
    cwd = str(run.work) if foreign else None
    with _own_loop(), variables_set(place.env if foreign else {}), suppress(PapermillExecutionError):
        # The verdict is read from the notebook, which is written in this case too.
        papermill.execute_notebook(
            str(given),
            str(run.executed),
            parameters=dict(parameters),
            engine_name=ENGINE,
            kernel_name=settings.kernel_name,
            progress_bar=False,
            start_timeout=settings.start_timeout,
            cwd=cwd,
            watch=watch,
            **streams,
            **more,
        )


@contextmanager
def _own_loop() -> Iterator[None]:
    """An event loop for the notebook's client that is closed after it; the thread has its own back then.

    To be entered in an empty context: there Jupyter finds no loop of an earlier client, and makes a new one.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        from jupyter_core.utils import ensure_event_loop

        # Nothing public tells the loop of a thread without making one.
        before = getattr(getattr(asyncio.get_event_loop_policy(), "_local", None), "_loop", None)
        loop = ensure_event_loop()
        try:
            yield
        finally:
            asyncio.set_event_loop(before)
            loop.close()
    else:
        yield  # Jupyter has a thread for this case


@contextmanager
def _told(task: str, settings: Settings, watch: Watch, place: KernelPlace) -> Iterator[None]:
    """What the libraries raise, as errors of ours."""
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillException

    try:
        yield
    except NoSuchKernel as error:
        raise _missing_kernel(task, error.name) from error
    except CellTimeoutError as error:
        if settings.execution_timeout is None:
            raise NotebookTimeoutError(
                "what a cell of the notebook printed did not arrive", place=task, actual=str(error).strip()
            ) from error
        raise NotebookTimeoutError(
            "a cell of the notebook took too long",
            place=f"{task}(execution_timeout)",
            expected=f"at most {settings.execution_timeout} s for each cell",
            actual=str(error).strip(),
        ) from error
    except DeadKernelError as error:
        raise KernelDiedError(
            "the kernel died while a cell ran",
            place=task,
            expected="a kernel that lasts until the last cell",
            actual=_ending(place),
            hint="memory that ran out ends a kernel by SIGKILL: ask for more with requests=Resources(mem=...)",
        ) from error
    except PapermillException as error:
        if "engine" in str(error):
            raise EngineMissingError(
                f"papermill has no engine {settings.engine_name!r} here",
                place=f"{task}(engine_name)",
                hint="install the package that brings it where the task runs",
            ) from error
        raise NotebookError(f"papermill refused the notebook: {error}", place=task) from error
    except (RuntimeError, TimeoutError, OSError) as error:
        if watch.cell is not None or isinstance(error, NotebookError):
            raise
        raise KernelStartError(
            f"the kernel did not start: {error}",
            place=f"{task}(kernel_name)",
            expected=f"a kernel that answers within {settings.start_timeout} s",
            actual=_ending(place),
            hint="start_timeout= gives it more time; the attempt's log has what it printed",
        ) from error


def _missing_kernel(task: str, name: str) -> KernelMissingError:
    from jupyter_client.kernelspec import KernelSpecManager

    return KernelMissingError(
        f"there is no kernel {name!r} where the task runs",
        place=f"{task}(kernel_name)",
        expected=", ".join(sorted(KernelSpecManager().find_kernel_specs())) or "an installed kernel",
        actual=name,
        hint="kernel_name='python3' is the Python of the worker; others have to be installed in the task's image",
    )


def _ending(place: KernelPlace) -> str:
    try:
        status = int(place.status_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return "it left no exit status"
    if status >= 0:
        return f"it ended with exit status {status}"
    import signal

    try:
        return f"it was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"it was ended by signal {-status}"


def _teller() -> Callable[[str], None]:
    def tell(line: str) -> None:
        sys.stderr.write(f"notebook: {line}\n")
        sys.stderr.flush()

    return tell


def _environment(run: Run, imports: tuple[str, ...]) -> dict[str, str]:
    linked = exchange.link_plugin(run.folder / "lib")
    path = [str(linked), *imports, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **os.environ,
        exchange.VARIABLE: str(run.exchange),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        # Frozen modules make every start warn of a debugger that nobody attaches.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def own_imports() -> tuple[str, ...]:
    """The folders of this process's import path that are the user's own, and not of its installation."""
    installed = tuple({sys.prefix, sys.base_prefix, sys.exec_prefix})
    found = [str(Path(entry or ".").absolute()) for entry in sys.path]
    return tuple(entry for entry in found if Path(entry).is_dir() and not entry.startswith(installed))
