"""The reference backend keeps the contract: the whole kit over it, and what the kit cannot know of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flytepath.testing.backend_conformance import BackendConformance, BackendVendor
from flytepath.testing.fake_vendor import FakeVendor
from flytepath.testing.reference_job_manifest import flytepath_backends
from vendor_kit import CANARY, ReferenceVendor


class TestReferenceBackend(BackendConformance):
    declaration = flytepath_backends()[0]
    name_pattern = r"[a-z][a-z0-9-]{0,39}"
    patience_seconds = 10.0

    @contextmanager
    def vendor(self) -> Iterator[BackendVendor]:
        with FakeVendor(token=CANARY) as fake:
            yield ReferenceVendor(fake)
            assert fake.violations == []
