"""What the tests of remote tasks share: the reference plugin as an installed distribution, and its vendor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "plugin"))

from fake_distributions import Distributions
from flytepath.plugin import manager as managers
from flytepath.testing.fake_vendor import TOKEN, FakeVendor

#: The reference plugin with other limits, and quicker looks.
MANIFEST = """
    @hookimpl
    def flytepath_task_types():
        return [TaskTypeDeclaration(name="vendor-job", task_type="flytepath.testing.reference_task:VendorJobTask",
                                    config="flytepath.testing.reference_task:VendorJob", default_backend="vendor")]

    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="vendor", backend="flytepath.testing.reference_backend:VendorBackend",
            settings="flytepath.testing.reference_backend:VendorSettings",
            idempotency="%(idempotency)s", batch_limit=200,
            array_limit=%(array)d, visibility_seconds=0.5, name_limit=40, call_seconds=10.0,
            poll=PollPolicy(first=0.02, longest=0.2),
            pools=(PoolDeclaration(name="vendor/{account}", limit=1000),),
        )]
"""


@contextmanager
def vendor_installed(
    folder: Path,
    patch: pytest.MonkeyPatch,
    *,
    array: int = 100,
    limit: int = 1000,
    idempotency: str = "B",
    **vendor: Any,
) -> Iterator[tuple[FakeVendor, Distributions]]:
    """The reference plugin, a vendor, and a configuration that leads to it; this process stands in its folder."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    fakes = Distributions(folder / "site", home)
    fakes.add("vendor", MANIFEST % {"array": array, "idempotency": idempotency})
    with FakeVendor(**vendor) as made:
        fakes.configure(f'[backends.vendor]\nurl = "{made.url}"\n')
        for name, value in fakes.environment(FLYTEPATH_SECRET_VENDOR_TOKEN=TOKEN).items():
            patch.setenv(name, value)
        patch.syspath_prepend(str(fakes.folder))
        patch.chdir(fakes.work)
        before = managers.set_current(None)
        try:
            yield made, fakes
        finally:
            managers.set_current(before)
