"""What the desks of one engine share: backends and their calls, pollers, pools and patience."""

from __future__ import annotations

import asyncio

from flytepath.engine.jobs.backends import BackendInstance, BackendSource
from flytepath.engine.jobs.polling import Poller
from flytepath.engine.jobs.vendor_calls import Patience, VendorCalls
from flytepath.engine.quota.requests import AdmissionDesk


class JobServices:
    """What the desks of one engine share.

    Args:
        backends: where jobs run.
        admission: keeps pools and rate limits.
        patience: how long vendors are borne with.
    """

    def __init__(self, backends: BackendSource, admission: AdmissionDesk, patience: Patience | None = None) -> None:
        self.backends = backends
        self.admission = admission
        self.patience = patience or Patience()
        # By the backend itself: tenants with the same settings share its places and its batches.
        self._calls: dict[int, VendorCalls] = {}
        self._pollers: dict[tuple[int, str], Poller] = {}

    def calls(self, instance: BackendInstance) -> VendorCalls:
        """The calls of a backend."""
        key = id(instance.backend)
        if key not in self._calls:
            self._calls[key] = VendorCalls(instance, self.admission)
        return self._calls[key]

    def poller(self, instance: BackendInstance, scope: str) -> Poller:
        """Who looks at the jobs of a credential scope."""
        key = (id(instance.backend), scope)
        if key not in self._pollers:
            self._pollers[key] = Poller(self.calls(instance), scope, self.patience)
        return self._pollers[key]

    async def close(self) -> None:
        """Look at nothing any more, and let go of the backends."""
        await asyncio.gather(*(poller.close() for poller in self._pollers.values()))
        await self.backends.close()
        await self.admission.close()
