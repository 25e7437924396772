"""The conformance of a backend: one job for one key whatever happens, and the truth about it, told by the checks.

Subclass :class:`BackendConformance` at the top of a test module, and give it a :class:`BackendVendor` that starts the
fake or the emulator of the vendor.
"""

from __future__ import annotations

from flytepath.testing.backend_conformance.arrays import ArrayChecks
from flytepath.testing.backend_conformance.cancelling import CancelChecks
from flytepath.testing.backend_conformance.discretion import DiscretionChecks
from flytepath.testing.backend_conformance.lifecycle import LifeChecks
from flytepath.testing.backend_conformance.observing import ObserveChecks
from flytepath.testing.backend_conformance.owning import OwnChecks
from flytepath.testing.backend_conformance.planning import PlanChecks
from flytepath.testing.backend_conformance.submitting import SubmitChecks
from flytepath.testing.backend_conformance.vendor import BackendVendor, CannotDo, Course


class BackendConformance(
    PlanChecks, SubmitChecks, ObserveChecks, CancelChecks, OwnChecks, ArrayChecks, DiscretionChecks, LifeChecks
):
    """Checks that hold for every backend. Subclass it at the top of a test module.

    Example:
        >>> from contextlib import contextmanager
        >>> class TestBatch(BackendConformance):
        ...     backend = "batch"  # the name in its declaration
        ...     @contextmanager
        ...     def vendor(self):
        ...         with FakeBatch() as fake:
        ...             yield BatchVendor(fake)  # a BackendVendor
    """


__all__ = ["BackendConformance", "BackendVendor", "CannotDo", "Course"]
