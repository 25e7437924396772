"""Room on this machine: who may use its cores, memory and GPUs, so that what runs at once fits into it.

An attempt asks for what its task requests, all or nothing, before it asks for a slot; one whose task requests nothing
asks for nothing. The machine is three pools of a :class:`~flytepath.engine.quota.Book`, so tenants share it by weight,
a large request is not starved by small ones, and nobody waits behind what waits for something else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from flytepath.engine.local.machine import LocalAsk, Machine
from flytepath.engine.quota import PASSES, Ask, Book, PoolAsk, PoolRule, Standing
from flytepath.model.identity import Tenant

CPU, MEMORY, GPU = "local/cpu", "local/memory", "local/gpu"
#: Cores and bytes are counted in tokens of so many.
MILLICORE: Final = 0.001
MEBIBYTE: Final = 2**20


@dataclass(slots=True)
class _Seeker:
    ask: Ask
    ready: Callable[[], None]
    devices: tuple[str, ...] = ()
    is_granted: bool = False
    is_asleep: bool = False


@dataclass(slots=True)
class Room:
    """The room on one machine, for all executions of this process. Used on the loop only.

    Args:
        machine: what there is.
        weights: of tenants, by ``project`` or ``project/domain``.
        clock: seconds that never go back.

    Example:
        >>> room = Room(Machine(cpu=2, memory=2**30, gpus=("0", "1")))
        >>> room.ask("a", Tenant(), LocalAsk(cpu=2, gpus=1), print), room.gpus("a")
        (True, ('0',))
        >>> room.ask("b", Tenant(), LocalAsk(cpu=1), lambda: print("b runs"))
        False
        >>> room.release("a")
        b runs
    """

    machine: Machine
    weights: dict[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _book: Book = field(init=False)
    _seekers: dict[str, _Seeker] = field(default_factory=dict, init=False)
    _numbers: Iterable[int] = field(default_factory=count, init=False)
    _users: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        limits = {
            CPU: round(self.machine.cpu / MILLICORE),
            MEMORY: self.machine.memory // MEBIBYTE,
            GPU: len(self.machine.gpus),
        }
        rules = [PoolRule(name, limit, self.weights) for name, limit in limits.items()]
        self._book = Book(rules, passes_across=PASSES)
        self._users = dict.fromkeys(self.machine.gpus, 0)

    def ask(self, key: str, tenant: Tenant, wanted: LocalAsk, ready: Callable[[], None]) -> bool:
        """Whether ``key`` has what it wants; if not, it waits, and ``ready`` is called when it has.

        What is more than the machine has is cut down to that. Asking again changes nothing.
        """
        seeker = self._seekers.get(key)
        if seeker is not None:
            return seeker.is_granted
        tokens = self._tokens(wanted)
        if not tokens:
            return True
        seeker = self._seekers[key] = _Seeker(Ask.of(key, tenant, tokens), lambda: None)
        now = self.clock()
        self._book.ask(seeker.ask, next(iter(self._numbers)), now)
        self._decide(now)
        seeker.ready = ready
        return seeker.is_granted

    def gpus(self, key: str) -> tuple[str, ...]:
        """The devices of its own, for ``CUDA_VISIBLE_DEVICES``; one that asked for none is shown them all."""
        seeker = self._seekers.get(key)
        return () if seeker is None else seeker.devices

    def release(self, key: str) -> None:
        """The attempt has ended, or is not wanted any more; nothing happens where it had nothing."""
        seeker = self._seekers.pop(key, None)
        if seeker is None:
            return
        self._leave(seeker)
        self._decide(self.clock())

    def sleeps(self, key: str) -> None:
        """The attempt waits for what it called, and leaves its room to that."""
        seeker = self._seekers.get(key)
        if seeker is not None and seeker.is_granted and not seeker.is_asleep:
            seeker.is_asleep = True
            self._book.release(key, self.clock())
            self._decide(self.clock())

    def wakes(self, key: str) -> None:
        """It goes on, whoever came in between, and may have to share until those have ended."""
        seeker = self._seekers.get(key)
        if seeker is not None and seeker.is_asleep:
            seeker.is_asleep = False
            self._book.insist(seeker.ask, self.clock())

    def standing(self, key: str) -> Standing | None:
        """Why it waits; ``None`` where it does not."""
        return self._book.standing(key, self.clock())

    def free(self) -> LocalAsk:
        """What nobody uses."""
        left = {name: max(0, rule.limit - self._book.held(name)) for name, rule in self._book.pools.items()}
        return LocalAsk(left[CPU] * MILLICORE, left[MEMORY] * MEBIBYTE, left[GPU])

    def _tokens(self, wanted: LocalAsk) -> list[PoolAsk]:
        cut = self.machine.clamp(wanted)
        numbers = {
            CPU: min(round(cut.cpu / MILLICORE), self._book.pools[CPU].limit),
            MEMORY: min(-(-cut.memory // MEBIBYTE), self._book.pools[MEMORY].limit),
            GPU: cut.gpus,
        }
        return [PoolAsk(name, number) for name, number in numbers.items() if number]

    def _leave(self, seeker: _Seeker) -> None:
        for device in seeker.devices:
            self._users[device] -= 1
        if not seeker.is_granted:
            self._book.withdraw(seeker.ask.key)
        elif not seeker.is_asleep:
            self._book.release(seeker.ask.key, self.clock())

    def _decide(self, now: float) -> None:
        granted = [self._seekers[lease.ask.key] for lease in self._book.grants(now)]
        for seeker in granted:
            seeker.is_granted = True
            wanted = sum(each.tokens for each in seeker.ask.tokens if each.pool == GPU)
            # Those that are used least: one that woke up may have to share.
            seeker.devices = tuple(sorted(self._users, key=lambda name: self._users[name])[:wanted])
            for device in seeker.devices:
                self._users[device] += 1
        for seeker in granted:
            seeker.ready()


class RoomOfExecution:
    """What the attempts of one execution have, by the paths of their nodes.

    Args:
        room: of the machine.
        execution: its id.
        tenant: whose it is.
        wake: called when a node has got what it waited for.
    """

    def __init__(self, room: Room, execution: str, tenant: Tenant, wake: Callable[[], None]) -> None:
        self._room = room
        self._execution = execution
        self._tenant = tenant
        self._wake = wake
        self._asks: dict[str, bool] = {}

    def has(self, path: str, wanted: LocalAsk) -> bool:
        """Whether a node has what it asks for; if not, it waits, and the execution is woken when it has."""
        if not wanted:
            return True
        if path not in self._asks or not self._asks[path]:
            self._asks[path] = False
            self._asks[path] = self._room.ask(self._key(path), self._tenant, wanted, lambda: self._ready(path))
        return self._asks[path]

    def is_waiting(self, path: str) -> bool:
        """Whether a node waits for room."""
        return self._asks.get(path) is False

    def standing(self, path: str) -> Standing | None:
        """Why it waits."""
        return self._room.standing(self._key(path))

    def gpus(self, path: str) -> tuple[str, ...]:
        """The devices its attempt may use; none where it asked for none, and is shown them all."""
        return self._room.gpus(self._key(path)) if path in self._asks else ()

    def ended(self, path: str) -> None:
        """Its attempt has ended, or will not be."""
        if path in self._asks:
            del self._asks[path]
            self._room.release(self._key(path))

    def sleeps(self, path: str) -> None:
        """Its attempt waits for what it called."""
        if path in self._asks:
            self._room.sleeps(self._key(path))

    def wakes(self, path: str) -> None:
        """Its attempt goes on."""
        if path in self._asks:
            self._room.wakes(self._key(path))

    def sweep(self, is_gone: Callable[[str], bool]) -> None:
        """Give back what nodes have or wait for that will not begin."""
        for path in [path for path in self._asks if is_gone(path)]:
            self.ended(path)

    def close(self) -> None:
        """Give everything back."""
        for path in list(self._asks):
            self.ended(path)

    def _ready(self, path: str) -> None:
        if path in self._asks:
            self._asks[path] = True
            self._wake()

    def _key(self, path: str) -> str:
        return f"{self._execution}\n{path}"
