"""A call of an eager task that is heard of only after its attempt has ended says nothing of the next attempt."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Machine, Raised, single, task_spec
from flytepath.engine.calls import CallDesk

INC = task_spec("inc", "x")
EAGER = task_spec("eag", "x", mode="eager", retries=1)


def test_a_late_call_of_an_attempt_that_failed_leaves_the_next_attempt_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []
    second_runs = threading.Event()
    kept = CallDesk.kept

    def slow(self: CallDesk, graph: Any) -> str:
        second_runs.wait(10)
        return kept(self, graph)

    monkeypatch.setattr(CallDesk, "kept", slow)

    async def eag(call: Any, x: int) -> int:
        attempts.append(len(attempts) + 1)
        first = call(single(INC), x=x)
        if len(attempts) == 1:
            first.close()
            raise Raised("before anybody has heard of the call")
        second_runs.set()
        result: int = await first
        return result

    machine = Machine(single(EAGER), {"eag": eag, "inc": lambda _r, x: x + 1}, tmp_path, x=1)
    state = machine.run()
    assert state.status == "succeeded"
    assert machine.outputs() == {"o0": 2}
    assert attempts == [1, 2]
