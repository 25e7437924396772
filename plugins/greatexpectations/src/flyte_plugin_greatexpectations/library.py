"""The one place where Great Expectations is imported, which takes seconds: only who validates does, once for a process.

A validation makes a context of its own: an empty one in memory, or one over a copy of a context root. Nothing is sent
to the makers of the library, nothing is written but to the copy, and a project that the user's code has opened in the
same process is current again afterwards.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from flyte_plugin_greatexpectations.context_root import ContextRoot
from flyte_plugin_greatexpectations.errors import ContextRootError

with warnings.catch_warnings():
    # The library imports what its own dependencies deprecate; nobody who validates data can act on that.
    warnings.simplefilter("ignore")
    import great_expectations as gx
    from great_expectations.data_context.data_context.context_factory import project_manager
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults
    from great_expectations.exceptions import DataContextRequiredError, GreatExpectationsError

__all__ = [
    "FAILURES",
    "VERSION",
    "GreatExpectationsError",
    "empty_context",
    "gx",
    "one_at_a_time",
    "own_folders",
    "project_context",
]

VERSION: Final = str(gx.__version__)
#: The library keeps its current project in a variable of the process.
one_at_a_time: Final = threading.Lock()
_ANALYTICS: Final = re.compile(r"^analytics_enabled:.*$", re.MULTILINE)
_CONFIGURATION: Final = "great_expectations.yml"
#: Who calls the library looks for these, whatever of it raises them; connections fail with a ``ConnectionError``.
FAILURES: Final = (GreatExpectationsError, ValueError, TypeError, KeyError, LookupError, OSError)


@contextlib.contextmanager
def empty_context(variables: Mapping[str, str]) -> Iterator[Any]:
    """A context in memory.

    Args:
        variables: values that its configuration refers to with ``${NAME}``; they are kept nowhere else.
    """
    config = DataContextConfig(
        # Data docs would be written to a temporary folder that nobody removes.
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars={"globally": False},
    )
    with _own_project():
        yield gx.get_context(mode="ephemeral", project_config=config, runtime_environment=dict(variables))


@contextlib.contextmanager
def project_context(root: ContextRoot, folder: Path) -> Iterator[Any]:
    """A context over a copy of a context root, in ``folder``. What it refers to by relative paths stays where it is.

    Raises:
        ContextRootError: the library does not take the context root.
    """
    copy = root.copy_to(folder)
    written = copy / _CONFIGURATION
    text = _ANALYTICS.sub("", written.read_text(encoding="utf-8"))
    written.write_text(f"{text.rstrip()}\nanalytics_enabled: false\n", encoding="utf-8")
    with _own_project():
        try:
            context = gx.get_context(mode="file", context_root_dir=str(copy))
            sources = list(context.data_sources.all().values())
        except FAILURES as error:
            raise ContextRootError(
                f"Great Expectations cannot open the context root: {error}", place=root.given
            ) from error
        context.variables.progress_bars = {"globally": False}
        for source in sources:
            if "data_context_root_directory" in getattr(type(source), "__fields__", {}):
                source.data_context_root_directory = root.folder
                source._rebuild_asset_data_connectors()
        yield context


@contextlib.contextmanager
def _own_project() -> Iterator[None]:
    try:
        previous = project_manager.get_current_project()
    except DataContextRequiredError:
        previous = None
    path = list(sys.path)
    try:
        yield
    finally:
        project_manager.set_project(previous)
        # The library puts the plugins folder of a context root here, and leaves it.
        sys.path[:] = [item for item in sys.path if item in path]


@contextlib.contextmanager
def own_folders(base: Path) -> Iterator[Callable[[], Path]]:
    """Makes folders below ``base`` that nobody else uses, and takes them away at the end."""
    made: list[Path] = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix=".gx-", dir=base)))
        return made[-1]

    try:
        yield make
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
