"""A gate that one task waits at: an event for those of whom there are thousands, a tenth of the size of asyncio's."""

from __future__ import annotations

import asyncio


class Gate:
    """Shut at first. One task may wait for it to be opened.

    Example:
        >>> async def passed() -> bool:
        ...     gate = Gate()
        ...     asyncio.get_running_loop().call_soon(gate.open)
        ...     await gate.wait()
        ...     return True
        >>> asyncio.run(passed())
        True
    """

    __slots__ = ("_is_open", "_waiter")

    def __init__(self) -> None:
        self._is_open = False
        self._waiter: asyncio.Future[None] | None = None

    def open(self) -> None:
        """Let pass whoever waits, and whoever comes until it is shut."""
        self._is_open = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def shut(self) -> None:
        """Let nobody pass who comes from now on."""
        self._is_open = False

    async def wait(self) -> None:
        """Wait until it is open."""
        if self._is_open:
            return
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            if self._waiter is waiter:  # who was cancelled may go after another one has come
                self._waiter = None
