"""What tasks print: of attempts that have ended from the blobs, of those that run from the file they write.

An attempt writes to a file of its own. When it ends, a log with something in it is kept as a blob, an event says so,
and the file is removed. A reader that finds neither yet, or no file any more, looks again after the next events.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from flytepath.client.history import Attempt, Attempts
from flytepath.engine.places import Places
from flytepath.errors import FlytePathError
from flytepath.model.events import Event
from flytepath.model.literal import BlobRef
from flytepath.plugin.transformer import BlobSource

#: How many files of running attempts are kept open; those beyond are opened again for each look.
OPEN_FILES: Final = 128
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Printed:
    """Text that an attempt printed; it may end in the middle of a line unless ``ended``."""

    node: str
    attempt: int
    text: str
    ended: bool = False


@dataclass(slots=True)
class _Reading:
    """How far an attempt's output has been read; ``kept``: from the blob that it was kept in."""

    attempt: Attempt
    offset: int = 0
    file: BinaryIO | None = None
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )
    finished: bool = False
    kept: bool = False


class LogReader:
    """The output of the attempts of an execution, or of those at and below a node.

    Args:
        home: where running attempts write.
        execution: whose.
        blobs: where the logs of those that have ended lie.
        node: only this node and what lies below it; empty for all.
        attempt: only the attempts with this number.
    """

    def __init__(
        self, home: Path, execution: str, blobs: BlobSource, node: str = "", attempt: int | None = None
    ) -> None:
        self._places = Places(home, execution)
        self._blobs = blobs
        self._node = node
        self._attempt = attempt
        self._attempts = Attempts()
        self._readings: dict[tuple[str, int], _Reading] = {}
        self._open = 0

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the files go."""
        for reading in self._readings.values():
            self._close(reading)

    @property
    def attempts(self) -> Sequence[Attempt]:
        """The attempts whose output is read, in the order they began."""
        chosen = (reading.attempt for reading in self._readings.values())
        return sorted(chosen, key=lambda attempt: (attempt.started, attempt.number))

    def learn(self, events: Iterable[Event]) -> None:
        """Take in what has happened since."""
        for event in events:
            for attempt in self._attempts.add(event):
                key = (attempt.node, attempt.number)
                if key not in self._readings and self._is_wanted(attempt):
                    self._readings[key] = _Reading(attempt)

    def _is_wanted(self, attempt: Attempt) -> bool:
        inside = not self._node or attempt.node == self._node or attempt.node.startswith(f"{self._node}/")
        return inside and self._attempt in (None, attempt.number)

    def read(self) -> Iterator[Printed]:
        """What has been printed since the last call, attempt by attempt."""
        there = self._with_files()
        for attempt in self.attempts:
            reading = self._readings[attempt.node, attempt.number]
            log = attempt.log
            if reading.finished and (log is None or reading.offset >= log.size or reading.kept):
                continue
            has_ended = attempt.ended > 0
            if log is not None:
                reading.kept = True
                yield from self._rest(reading, BlobRef(log.uri, log.digest, log.size))
                continue
            if reading.file is not None or self._places.log(attempt.node, attempt.number).parent.name in there:
                yield from self._from_file(reading)
            if has_ended:  # it printed nothing, or what it printed is all in the file of an engine that is gone
                yield from self._finish(reading)

    def _with_files(self) -> set[str]:
        """The nodes that have files: one look, however many attempts there are."""
        try:
            return {entry.name for entry in os.scandir(self._places.logs)}
        except OSError:
            return set()

    def _from_file(self, reading: _Reading) -> Iterator[Printed]:
        attempt = reading.attempt
        if reading.file is None:
            try:
                file = self._places.log(attempt.node, attempt.number).open("rb")
            except OSError:
                return  # it has not printed yet, or has just ended: then an event will say where the log is
            file.seek(reading.offset)
            reading.file = file
            self._open += 1
        try:
            while chunk := reading.file.read(_CHUNK):
                reading.offset += len(chunk)
                yield from _printed(reading, chunk)
        finally:
            if self._open > OPEN_FILES:
                self._close(reading)

    def _rest(self, reading: _Reading, log: BlobRef) -> Iterator[Printed]:
        """The rest of the output of an attempt that has ended and has a kept log."""
        if reading.file is not None:  # it is still readable, and whole, even where the kept log was shortened
            yield from self._from_file(reading)
        if reading.offset < log.size:
            try:
                with self._blobs.open(log) as blob:
                    blob.seek(reading.offset)
                    while chunk := blob.read(_CHUNK):
                        reading.offset += len(chunk)
                        yield from _printed(reading, chunk)
            except (FlytePathError, OSError) as error:
                text = f"(the log of attempt {reading.attempt.number} cannot be read: {error})\n"
                yield Printed(reading.attempt.node, reading.attempt.number, text)
        yield from self._finish(reading)

    def _finish(self, reading: _Reading) -> Iterator[Printed]:
        reading.finished = True
        self._close(reading)
        if reading.offset:
            text = reading.decoder.decode(b"", final=True)
            yield Printed(reading.attempt.node, reading.attempt.number, text, ended=True)

    def _close(self, reading: _Reading) -> None:
        if reading.file is not None:
            reading.file.close()
            reading.file = None
            self._open -= 1


def _printed(reading: _Reading, chunk: bytes) -> Iterator[Printed]:
    text = reading.decoder.decode(chunk)
    if text:
        yield Printed(reading.attempt.node, reading.attempt.number, text)
