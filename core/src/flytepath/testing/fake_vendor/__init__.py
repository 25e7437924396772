"""A vendor of remote jobs that is none: an HTTP service on loopback, with faults that a test switches on.

It is what the reference backend talks to, and what the life of remote jobs is tested with. A job's specification says
what becomes of it: how long it runs, how it ends, what it gives. ``python -m flytepath.testing.fake_vendor`` runs one
in a process of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flytepath.testing.fake_vendor.accounts import Account
from flytepath.testing.fake_vendor.client import VendorClient, VendorError, VendorUnreachableError
from flytepath.testing.fake_vendor.faults import Fault, FaultKind, Faults
from flytepath.testing.fake_vendor.jobs import ENDED, Clock, Job
from flytepath.testing.fake_vendor.service import Entry, Service
from flytepath.testing.fake_vendor.wire import Wire

Json = Any

#: The account that is always there, and its token.
ACCOUNT = "main"
TOKEN = "fake-vendor-token"


class FakeVendor:
    """A running vendor; a context manager.

    Args:
        speed: how many seconds of the vendor pass in one of ours; with 0 time passes only by :meth:`tick`.
        seed: of the chance that faults with a probability happen by.
        host, port: where it listens.
        token, live_limit, rates, name_limit: of the account ``main``; see :meth:`add_account`.

    Attributes:
        faults: what goes wrong, see :class:`Faults`.
        journal: every request, in order.
        violations: what must never happen and did: two live jobs of one key.

    Example:
        >>> with FakeVendor(speed=0) as vendor:
        ...     client = VendorClient(vendor.url, "main")
        ...     made = client.call("POST", "", vendor.token, {"name": "a", "spec": {"seconds": 60}})
        ...     vendor.tick(60)
        ...     client.call("GET", f"/{made['id']}", vendor.token)["state"]
        ...     client.close()
        'FINISHED'
    """

    def __init__(
        self,
        *,
        speed: float = 1.0,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = TOKEN,
        live_limit: int | None = None,
        rates: Mapping[str, tuple[float, float]] | None = None,
        name_limit: int = 40,
    ) -> None:
        self.faults = Faults(seed)
        self._clock = Clock(speed)
        self._service = Service(self._clock, self.faults)
        self._wire = Wire(self._service, host, port)
        self._host = host
        self.add_account(ACCOUNT, token, live_limit=live_limit, rates=rates, name_limit=name_limit)

    def __enter__(self) -> FakeVendor:
        self._wire.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.stop()

    # --- where and who ---

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self._host}:{self._wire.port}"

    @property
    def token(self) -> str:
        """The token of the account ``main``."""
        return self.account().token

    def add_account(
        self,
        name: str,
        token: str = TOKEN,
        *,
        live_limit: int | None = None,
        rates: Mapping[str, tuple[float, float]] | None = None,
        name_limit: int = 40,
    ) -> Account:
        """A customer.

        Args:
            name, token: who it is, and what proves it.
            live_limit: the most jobs that live at once; one more is refused with ``TooManyJobs``.
            rates: (calls a second, burst) by kind of call, ``*`` for all together; more is refused with ``Throttled``.
            name_limit: the longest name of a job.
        """
        account = Account(name, token, live_limit, dict(rates or {}), name_limit)
        with self._service.lock:
            self._service.accounts[name] = account
        return account

    def account(self, name: str = ACCOUNT) -> Account:
        """A customer, with what is counted of it: ``most_live``, ``made``, ``refused``, ``calls``."""
        with self._service.lock:
            return self._service.accounts[name]

    def expire_token(self, account: str = ACCOUNT) -> None:
        """No call is let in, until :meth:`renew_token`."""
        self.account(account).is_token_expired = True

    def renew_token(self, account: str = ACCOUNT, token: str = "") -> None:
        """Calls are let in again, with the new token if one is given."""
        found = self.account(account)
        with self._service.lock:
            found.token, found.is_token_expired = token or found.token, False

    # --- time and trouble ---

    def now(self) -> float:
        """Seconds on the vendor's clock."""
        return self._clock.now()

    def tick(self, seconds: float) -> None:
        """Let so many seconds pass on the vendor's clock."""
        self._clock.tick(seconds)

    @contextmanager
    def refusing_connections(self) -> Iterator[None]:
        """Within it nobody can connect, and whoever was connected is cut off."""
        self._wire.shut()
        try:
            yield
        finally:
            self._wire.open()

    # --- what becomes of jobs ---

    def job(self, id: str) -> Job:
        """The job of an id, of any account. Raises ``KeyError``."""
        with self._service.lock:
            return self._account_of(id).jobs[id]

    def state(self, id: str) -> str:
        """The vendor's word for where a job stands."""
        return self.job(id).state(self.now())

    def finish(self, id: str) -> None:
        """Let a job succeed now."""
        self._end(id, "FINISHED", 0)

    def fail(self, id: str, exit_code: int = 1, message: str = "") -> None:
        """Let a job fail by its own fault."""
        self._end(id, "ERRORED", exit_code, message)

    def evict(self, id: str) -> None:
        """Take a job's machine away."""
        self._end(id, "EVICTED")

    def lose_node(self, id: str) -> None:
        """A job's machine does not answer any more."""
        self._end(id, "NODE_LOST")

    def _end(self, id: str, outcome: str, exit_code: int | None = None, message: str = "") -> None:
        with self._service.lock:
            account, now = self._account_of(id), self.now()
            account.jobs[id].end(now, outcome, exit_code, message)
            account.changed(account.jobs[id])
            account.settle(now)

    def set_state(self, id: str, word: str) -> None:
        """Put a job into a state, known or not, in which it stays until it is cancelled or ended."""
        with self._service.lock:
            account = self._account_of(id)
            account.jobs[id].forced = word
            account.changed(account.jobs[id])
            account.settle(self.now())

    def vanish(self, id: str) -> None:
        """Remove a job without a trace."""
        with self._service.lock:
            self._account_of(id).remove(id)

    def poison(self, id: str) -> None:
        """Let every look at this job fail, and with it every look at several that it is among."""
        self.job(id).is_poisoned = True

    def make_foreign(
        self, name: str, *, tags: Mapping[str, str] | None = None, account: str = ACCOUNT, seconds: float | None = None
    ) -> str:
        """A job of somebody else's, that no call of ours has made; its id."""
        with self._service.lock:
            owner, now = self.account(account), self.now()
            id = f"foreign-{len(owner.jobs) + 1:06d}"
            self._service.take_in(owner, Job.of(id, account, name, dict(tags or {}), {"seconds": seconds}, now))
            return id

    def _account_of(self, id: str) -> Account:
        for account in self._service.accounts.values():
            if id in account.jobs:
                return account
        raise KeyError(id)

    # --- what is asserted ---

    @property
    def journal(self) -> list[Entry]:
        """Every request so far, in order; of very many the last ones."""
        with self._service.lock:
            return list(self._service.journal)

    @property
    def violations(self) -> list[str]:
        """What must never happen, and did."""
        with self._service.lock:
            return list(self._service.violations)

    def calls(self, account: str = ACCOUNT) -> Counter[str]:
        """How often each kind of call came."""
        with self._service.lock:
            return Counter(self.account(account).calls)

    def refused(self, code: str, account: str = ACCOUNT) -> int:
        """How often calls were refused with that code."""
        with self._service.lock:
            return self.account(account).refused[code]

    def made(self, key: str, account: str = ACCOUNT) -> int:
        """How many jobs were ever made with that value of the tag ``flytepath-key``."""
        with self._service.lock:
            return self.account(account).made[key]

    def live(self, key: str | None = None, account: str = ACCOUNT) -> int:
        """How many jobs are live, of one key or in all."""
        with self._service.lock:
            found = self.account(account)
            found.settle(self.now())
            return len(found.live) if key is None else found.live_keys[key]

    def jobs(self, account: str = ACCOUNT) -> list[Job]:
        """All jobs, ended or not, in the order they were made."""
        with self._service.lock:
            return list(self.account(account).jobs.values())


__all__ = [
    "ACCOUNT",
    "ENDED",
    "TOKEN",
    "Account",
    "Entry",
    "FakeVendor",
    "Fault",
    "FaultKind",
    "Faults",
    "Job",
    "VendorClient",
    "VendorError",
    "VendorUnreachableError",
]
