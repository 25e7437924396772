"""Where a kept log goes on after what a vendor told of it while the job lived."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from flytepath.client.live_logs import LiveJob, LiveLogs, Piece
from flytepath.client.logs import LogReader
from flytepath.model.events import (
    Actor,
    AttemptStarted,
    Blob,
    Event,
    JobEnded,
    JobPlanned,
    JobSubmitted,
    LogWritten,
    NodeSucceeded,
    Payload,
)
from flytepath.testing import MemoryBlobs

KEY = "sha256:" + "a" * 64


class Told:
    """Tells pieces, a look at a time."""

    def __init__(self, *pieces: Piece) -> None:
        self._pieces = list(pieces)
        self.is_closed = False

    def look(self, jobs: Iterable[LiveJob]) -> dict[str, Piece]:
        return {job.key: self._pieces.pop(0) for job in jobs if self._pieces}

    def problems(self) -> list[str]:
        return []

    def close(self) -> None:
        self.is_closed = True


class Log:
    """An execution with one job, whose events come as they are given."""

    def __init__(self, home: Path, live: Told) -> None:
        self.blobs = MemoryBlobs()
        self.reader = LogReader(home, "x1", self.blobs, live=lambda: cast(LiveLogs, live))
        self.events: list[Event] = []
        plan: dict[str, Any] = {"name": "j", "scope": "main"}
        self.happened(
            AttemptStarted(node="n0", attempt=1, inputs={}),
            JobPlanned(key=KEY, node="n0", attempt=1, backend="vendor", settings="", plan=plan),
            JobSubmitted(key=KEY, handle={"id": "1"}),
        )

    def happened(self, *payloads: Payload) -> None:
        for payload in payloads:
            actor = Actor(kind="engine", name="7")
            self.events.append(Event(execution="x1", seq=len(self.events) + 1, at=1.0, actor=actor, payload=payload))
        self.reader.learn(self.events)  # all of them: what is known is passed over

    def ended(self, kept: str) -> None:
        log = Blob.of(self.blobs.put(kept.encode()))
        self.happened(
            LogWritten(node="n0", attempt=1, log=log),
            JobEnded(key=KEY, phase="succeeded"),
            NodeSucceeded(node="n0", attempt=1, outputs={}),
        )

    def text(self) -> str:
        return "".join(printed.text for printed in self.reader.read())


@pytest.mark.parametrize(
    ("told", "kept", "rest"),
    [
        (("a\n", "b\n"), "a\nb\nc\n", "c\n"),
        (("a\n", "b\n"), "a\nb\n", ""),
        (("grüß\n",), "grüß\ndich\n", "dich\n"),
        (("a\n" * 5000, "b\n"), "a\n" * 5000 + "b\nc\n", "c\n"),
        # Shortened in the middle: what was told last is found where it lies now.
        (("a\n" * 5000, "end " * 2000 + "\n"), "a\n[9000 bytes left out]\n" + "end " * 2000 + "\nc\n", "c\n"),
        # The vendor tells another story afterwards: nothing of it is lost.
        (("a\n",), "x\ny\n", "(the log as it was kept, from its beginning)\nx\ny\n"),
    ],
)
def test_a_kept_log_goes_on_where_the_vendor_stopped(tmp_path: Path, told: Sequence[str], kept: str, rest: str) -> None:
    live = Told(*(Piece(text) for text in told))
    log = Log(tmp_path, live)
    assert [log.text() for _ in told] == list(told)
    log.ended(kept)
    assert log.text() == rest
    assert log.text() == ""
    assert log.reader.has_ended()
    log.reader.close()
    assert live.is_closed


def test_a_job_that_nobody_looked_at_is_read_from_what_was_kept(tmp_path: Path) -> None:
    log = Log(tmp_path, Told())
    assert not log.reader.has_ended()
    log.ended("a\n")
    assert log.text() == "a\n"
