"""What all checks of a backend share: what its author says of it, and how one check is played."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import ClassVar, Final

from flytepath.plugin.backend import BackendError, ErrorClass
from flytepath.plugin.declarations import BackendDeclaration
from flytepath.testing.backend_conformance.scene import Scene
from flytepath.testing.backend_conformance.vendor import BackendVendor, CannotDo
from flytepath.testing.findings import refuse

#: Errors after which core tries again, charged to nobody.
PASSING: frozenset[ErrorClass] = frozenset({ErrorClass.TRANSIENT, ErrorClass.THROTTLED, ErrorClass.UNAVAILABLE})

#: One check takes no longer than so many times the patience.
_PATIENCES: Final = 20


class Stage:
    """The author's part, and the machinery of the checks."""

    #: The backend as the manifest declares it; ``None``: the installed one of the name ``backend``.
    declaration: ClassVar[BackendDeclaration | None] = None
    #: The name of an installed backend; only where ``declaration`` is not given.
    backend: ClassVar[str] = ""
    #: The names that the vendor takes, as a regular expression.
    name_pattern: ClassVar[str] = r"[!-~]+"
    #: Seconds until something that must happen is given up: a job's end, a cancellation, one check in all.
    patience_seconds: ClassVar[float] = 30.0
    #: So many jobs are submitted to look at pages and batches; more than a page of ``list_owned`` holds is best.
    crowd: ClassVar[int] = 12

    def vendor(self) -> AbstractContextManager[BackendVendor]:
        """A context in which the vendor's fake or emulator runs. Each check enters it once."""
        raise NotImplementedError("vendor() gives a context manager that starts the vendor's fake or emulator")

    # --- how it is done ---

    @property
    def declared(self) -> BackendDeclaration:
        """What the backend declares of itself."""
        if self.declaration is not None:
            return self.declaration
        if not self.backend:
            refuse(
                f"{type(self).__name__} names no backend",
                hint="set declaration to the BackendDeclaration, or backend to the name of an installed one",
            )
        from flytepath.plugin.manager import current

        found: BackendDeclaration = current().backend(self.backend).declaration
        return found

    def play(self, act: Callable[[Scene], Awaitable[None]]) -> None:
        """Run one check on a scene of its own."""
        with self._skipping(), self.vendor() as vendor:
            asyncio.run(self._played(act, vendor))

    async def _played(self, act: Callable[[Scene], Awaitable[None]], vendor: BackendVendor) -> None:
        scene = Scene(vendor, self.declared, self.patience_seconds)
        limit_seconds = self.patience_seconds * _PATIENCES
        failed = True
        try:
            async with asyncio.timeout(limit_seconds) as limit:
                await act(scene)
            failed = False
        except TimeoutError as error:
            if not limit.expired():
                raise
            refuse(
                "the check did not come to an end",
                place=scene.place(""),
                actual=f"it was not over within {limit_seconds:g} s",
                hint="let sample jobs end sooner, or raise patience_seconds",
                cause=error,
            )
        except BackendError as error:
            refuse(
                "the backend refuses what must work",
                place=scene.place(""),
                actual=f"{error.error_class}: {error.message}",
                hint="the whole story is in the cause below",
                cause=error,
            )
        finally:
            # After a finding, a backend that cannot be closed either must not take its place.
            with suppress(Exception) if failed else nullcontext():
                await scene.close()

    @contextmanager
    def _skipping(self) -> Iterator[None]:
        try:
            yield
        except CannotDo as error:
            self.skip(str(error))

    @staticmethod
    def skip(reason: str) -> None:
        """Leave this check out, and say why."""
        import pytest

        pytest.skip(reason)
