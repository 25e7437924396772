"""Calls of a vendor's client that blocks, made in threads with a deadline, so that nothing waits on the event loop.

The threads are the backend's own and end with the process, so a call that never returns holds up neither the loop nor
the end of the process; it does keep its thread, and there are only so many.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: The most calls of one backend that are under way at once.
THREADS: Final = 32
#: Seconds after which a call is given up.
DEADLINE_SECONDS: Final = 30.0


class BlockingCalls:
    """Runs blocking calls, each to its end or to its deadline.

    Args:
        name: of the threads.
        threads: how many there are at most; they are started as they are needed, and used again.

    Example:
        >>> asyncio.run(BlockingCalls("doc").call(len, "abc"))
        3
    """

    def __init__(self, name: str, threads: int = THREADS) -> None:
        self._name = name
        self._limit = threads
        self._waiting: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._started = 0
        self._closed = False

    async def call(self, call: Callable[..., T], *args: Any, seconds: float = DEADLINE_SECONDS, **named: Any) -> T:
        """What ``call(*args, **named)`` returns or raises.

        Raises:
            TimeoutError: it took longer than ``seconds``, the wait for a free thread included. It may go on unseen.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(partial(_made, partial(call, *args, **named), future, loop))
        async with asyncio.timeout(seconds):
            return await future

    def _put(self, work: Callable[[], None]) -> None:
        with self._changed:
            self._waiting.append(work)
            if self._idle >= len(self._waiting) or self._started >= self._limit:
                self._changed.notify()
                return
            self._started += 1
            number = self._started
        threading.Thread(target=self._serve, name=f"{self._name}-{number}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._waiting and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if not self._waiting:
                    return
                work = self._waiting.popleft()
            work()

    def close(self) -> None:
        """Let the threads end that have nothing to do."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _made(call: Callable[[], Any], future: asyncio.Future[Any], loop: asyncio.AbstractEventLoop) -> None:
    if future.done():  # given up before it began
        return
    try:
        result, error = call(), None
    except BaseException as raised:  # noqa: BLE001 - whoever awaits it is told
        result, error = None, raised

    def settle() -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, StopIteration):  # which no future can hold
            future.set_exception(RuntimeError(f"the call raised {error!r}"))
        else:
            future.set_exception(error)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        return  # the loop has ended, and nobody waits
