"""For plugin authors: the conformance kit, which tells right from wrong, and fakes to test a plugin with.

.. code-block:: python

    from flytepath.testing import PluginConformance

    class TestSpark(PluginConformance):
        plugin = "spark"

Names are resolved on first use, so a test run that does not use the kit pays nothing for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flytepath.testing.backend_conformance import BackendConformance, BackendVendor, Course
    from flytepath.testing.blobs import MemoryBlobs
    from flytepath.testing.blocking import run_unblocked, watch_loop
    from flytepath.testing.fake_vendor import FakeVendor, FaultKind
    from flytepath.testing.findings import ConformanceError
    from flytepath.testing.plugin_conformance import PluginConformance
    from flytepath.testing.task_context import MemoryTaskContext
    from flytepath.testing.task_type_conformance import TaskTypeConformance
    from flytepath.testing.transformer_conformance import TransformerConformance

_HOME_OF = {
    "BackendConformance": "flytepath.testing.backend_conformance",
    "BackendVendor": "flytepath.testing.backend_conformance",
    "Course": "flytepath.testing.backend_conformance",
    "run_unblocked": "flytepath.testing.blocking",
    "watch_loop": "flytepath.testing.blocking",
    "ConformanceError": "flytepath.testing.findings",
    "FakeVendor": "flytepath.testing.fake_vendor",
    "FaultKind": "flytepath.testing.fake_vendor",
    "MemoryBlobs": "flytepath.testing.blobs",
    "MemoryTaskContext": "flytepath.testing.task_context",
    "PluginConformance": "flytepath.testing.plugin_conformance",
    "TaskTypeConformance": "flytepath.testing.task_type_conformance",
    "TransformerConformance": "flytepath.testing.transformer_conformance",
}

__all__ = [
    "BackendConformance",
    "BackendVendor",
    "ConformanceError",
    "Course",
    "FakeVendor",
    "FaultKind",
    "MemoryBlobs",
    "MemoryTaskContext",
    "PluginConformance",
    "TaskTypeConformance",
    "TransformerConformance",
    "run_unblocked",
    "watch_loop",
]


def __getattr__(name: str) -> Any:
    room = _HOME_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(room), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
