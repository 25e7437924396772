"""What may go wrong with the fake vendor: faults that a test switches on, and which calls they befall."""

from __future__ import annotations

import enum
import random
import threading
from dataclasses import dataclass


class FaultKind(enum.StrEnum):
    """What goes wrong."""

    #: The call is handled after so many real ``seconds``.
    SLOW = "slow"
    #: The connection is reset before the request has any effect.
    RESET_BEFORE = "reset before"
    #: The request has its effect, then the connection is reset.
    RESET_AFTER = "reset after"
    #: The request has its effect, and no answer ever comes.
    SILENT_AFTER = "silent after"
    #: Status 500 without and with the request's effect.
    ERROR_BEFORE = "error before"
    ERROR_AFTER = "error after"
    #: Status 503; ``Retry-After`` says ``seconds``.
    UNAVAILABLE = "unavailable"
    #: Status 429; ``Retry-After`` says ``seconds``.
    THROTTLED = "throttled"
    #: The request has its effect; the answer is status 200 and no JSON.
    GARBAGE = "garbage"
    #: Status 400: the request is wrong.
    REFUSED = "refused"
    #: The job is done in the answer to its submission.
    AT_ONCE = "at once"
    #: Searches do not show the new job for ``seconds`` of the vendor's clock.
    HIDDEN = "hidden"
    #: The job that is cancelled stays in ``CANCELLING`` for ``seconds`` of the vendor's clock.
    LINGERING = "lingering"
    #: The job cannot be cancelled just now: status 409.
    CANCEL_REFUSED = "cancel refused"
    #: The result is not there yet: status 409.
    NO_RESULT_YET = "no result yet"


@dataclass(slots=True)
class Fault:
    """A fault that is switched on.

    Args:
        kind: what goes wrong.
        call: the calls it befalls: ``submit``, ``get``, ``list``, ``cancel``, ``result``, ``logs``, ``delete``,
            ``clean`` or ``*``. ``list`` is every search and every look at several jobs.
        times: how often it happens; ``None`` for as long as it is on.
        probability: of each call that it befalls, from the vendor's own seeded source of chance.
        account, name: only calls of that account, and only those about a job of that name.
        seconds: as the kind says.
        happened: how often it has happened.
    """

    kind: FaultKind
    call: str = "*"
    times: int | None = None
    probability: float = 1.0
    account: str = ""
    name: str = ""
    seconds: float = 0.0
    happened: int = 0

    def befalls(self, call: str, account: str, name: str) -> bool:
        """Whether it may happen to this call."""
        return (
            (self.times is None or self.happened < self.times)
            and self.call in ("*", call)
            and self.account in ("", account)
            and self.name in ("", name)
        )


#: The one call that a fault makes sense for, where there is only one.
_CALL_OF = {
    FaultKind.AT_ONCE: "submit",
    FaultKind.HIDDEN: "submit",
    FaultKind.LINGERING: "cancel",
    FaultKind.CANCEL_REFUSED: "cancel",
    FaultKind.NO_RESULT_YET: "result",
}


class Faults:
    """The faults that are switched on; safe to change from any thread while the vendor serves.

    Example:
        >>> faults = Faults(seed=7)
        >>> _ = faults.add(FaultKind.RESET_AFTER, "submit", times=1)
        >>> [fault.kind.value for fault in faults.take("submit", "main", "job-1")]
        ['reset after']
        >>> faults.take("submit", "main", "job-2")
        []
    """

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self,
        kind: FaultKind | str,
        call: str = "",
        *,
        times: int | None = None,
        probability: float = 1.0,
        account: str = "",
        name: str = "",
        seconds: float = 0.0,
    ) -> Fault:
        """Switch a fault on; see :class:`Fault`. Where only one call makes sense, ``call`` may be left out."""
        kind = FaultKind(kind)
        befallen = call or _CALL_OF.get(kind, "*")
        fault = Fault(kind, befallen, times, probability, account, name, seconds)
        with self._lock:
            self._faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Switch it off."""
        with self._lock:
            self._faults = [other for other in self._faults if other is not fault]

    def clear(self) -> None:
        """Switch all of them off."""
        with self._lock:
            self._faults.clear()

    def take(self, call: str, account: str, name: str) -> list[Fault]:
        """What happens to this call; each of them has then happened once more."""
        if not self._faults:
            return []
        with self._lock:
            taken = [
                fault
                for fault in self._faults
                if fault.befalls(call, account, name)
                and (fault.probability >= 1.0 or self._chance.random() < fault.probability)
            ]
            for fault in taken:
                fault.happened += 1
            return taken
