"""What tasks print: of attempts that have ended from the blobs, of those that run from the file they write.

An attempt writes to a file of its own. When it ends, a log with something in it is kept as a blob, an event says so,
and the file is removed. A reader that finds neither yet, or no file any more, looks again after the next events.

What a remote job prints is kept when it ends; before, its vendor is asked for it where the reader may. The job of a
slice runs many items of a map and has one log, which is the map's.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from flytepath.client.history import Attempt, Attempts
from flytepath.client.live_logs import LiveJob, LiveLogs, Piece
from flytepath.engine.local.places import Places
from flytepath.errors import FlytePathError
from flytepath.model.events import Blob, Event, JobEnded, JobPlanned, JobSubmitted, LogWritten
from flytepath.model.literal import BlobRef
from flytepath.plugin.transformer import BlobSource

#: How many files of running attempts are kept open; those beyond are opened again for each look.
OPEN_FILES: Final = 128
_CHUNK: Final = 1 << 20
#: By so many of the last bytes that a vendor told the place is found where the kept log goes on.
_TAIL: Final = 4096


@dataclass(frozen=True, slots=True)
class Printed:
    """Text that an attempt printed; it may end in the middle of a line unless ``ended``.

    ``job`` is the key of the slice whose log it is: then the node is the map, and the attempt 0.
    """

    node: str
    attempt: int
    text: str
    ended: bool = False
    job: str = ""


@dataclass(slots=True)
class _Reading:
    """How far an attempt's output has been read; ``kept``: from the blob that it was kept in.

    ``told`` are the last bytes that a vendor told of it; ``slice`` is the key of the slice whose log it is.
    """

    attempt: Attempt
    slice: str = ""
    told: bytes = b""
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
        job: only what this job prints, by its key.
        live: makes what asks vendors, when a job that lives is to be read; without it, only kept logs of jobs are.
    """

    def __init__(
        self,
        home: Path,
        execution: str,
        blobs: BlobSource,
        node: str = "",
        attempt: int | None = None,
        job: str = "",
        live: Callable[[], LiveLogs] | None = None,
    ) -> None:
        self._places = Places(home, execution)
        self._blobs = blobs
        self._node = node
        self._attempt = attempt
        self._attempts = Attempts()
        self._readings: dict[tuple[str, int], _Reading] = {}
        self._open = 0
        self._seq = 0
        self._job = job
        self._make_live = live
        self._live: LiveLogs | None = None
        self._jobs: dict[str, tuple[LiveJob, _Reading]] = {}
        self._slices: dict[str, _Reading] = {}
        self._kept: dict[str, Blob] = {}

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the files and the vendors go."""
        for reading in self._readings.values():
            self._close(reading)
        if self._live is not None:
            self._live.close()

    @property
    def attempts(self) -> Sequence[Attempt]:
        """The attempts whose output is read, in the order they began."""
        chosen = (reading.attempt for reading in self._readings.values())
        return sorted(chosen, key=lambda attempt: (attempt.started, attempt.number))

    def has_ended(self) -> bool:
        """Of the reader of one job: whether it has ended, and all that was kept of it is read."""
        read = (*self._readings.values(), *self._slices.values())
        return not self._jobs and bool(read) and all(reading.finished for reading in read)

    def problems(self) -> list[str]:
        """Why what live jobs print cannot be read, since this was asked last."""
        return [] if self._live is None else self._live.problems()

    def learn(self, events: Iterable[Event]) -> None:
        """Take in what has happened since; what is known already is passed over."""
        for event in events:
            if event.seq <= self._seq:
                continue
            self._seq = event.seq
            for attempt in self._attempts.add(event):
                key = (attempt.node, attempt.number)
                if key not in self._readings and self._is_wanted(attempt) and not self._job:
                    self._readings[key] = _Reading(attempt)
            self._learn_of_job(event)

    def _is_wanted(self, attempt: Attempt) -> bool:
        inside = not self._node or attempt.node == self._node or attempt.node.startswith(f"{self._node}/")
        return inside and self._attempt in (None, attempt.number)

    def _learn_of_job(self, event: Event) -> None:
        match event.payload:
            case JobPlanned() as planned if not self._job or planned.key == self._job:
                reading = self._reading_of(planned, event)
                if reading is not None:
                    job = LiveJob(planned.key, planned.backend, planned.plan.get("scope", ""))
                    self._jobs[planned.key] = job, reading
            case JobSubmitted(key=key, handle=handle, handle_version=version) if key in self._jobs:
                self._jobs[key][0].handle, self._jobs[key][0].handle_version = handle, version
            case LogWritten(node=node, attempt=0, log=log):  # of a slice: its end is the next event of the map's jobs
                self._kept[node] = log
            case JobEnded(key=key) if key in self._jobs:
                _, reading = self._jobs.pop(key)
                if reading.slice:
                    reading.attempt.ended, reading.attempt.log = event.seq, self._kept.pop(reading.attempt.node, None)

    def _reading_of(self, planned: JobPlanned, event: Event) -> _Reading | None:
        """What is read of a job: the attempt that it runs, or, of a slice, its own log; ``None``: it is not wanted."""
        node = planned.node
        if not planned.items:
            attempt = self._attempts.by_node.get(node, {}).get(planned.attempt)
            if attempt is None or not self._is_wanted(attempt):
                return None
            return self._readings.setdefault((node, planned.attempt), _Reading(attempt))
        items = [Attempt(f"{node}/{index}", number, event.seq, event.at) for index, number in planned.items]
        around = not self._node or node == self._node or node.startswith(f"{self._node}/")
        if not (around and self._attempt is None) and not any(self._is_wanted(item) for item in items):
            return None
        made = _Reading(Attempt(node, 0, event.seq, event.at), slice=planned.key)
        return self._slices.setdefault(planned.key, made)

    def read(self) -> Iterator[Printed]:
        """What has been printed since the last call, attempt by attempt."""
        there = self._with_files()
        pieces = self._pieces()
        for key, (_, reading) in self._jobs.items():
            if key in pieces:
                yield from self._told(reading, pieces[key])
        for reading in (*(self._readings[each.node, each.number] for each in self.attempts), *self._slices.values()):
            attempt = reading.attempt
            log = attempt.log
            if reading.finished and (log is None or reading.offset >= log.size or reading.kept):
                continue
            has_ended = attempt.ended > 0
            if log is not None:
                reading.kept = True
                yield from self._rest(reading, BlobRef(log.uri, log.digest, log.size))
                continue
            if not reading.slice and (reading.file is not None or self._folder_of(attempt) in there):
                yield from self._from_file(reading)
            if has_ended:  # it printed nothing, or what it printed is all in the file of an engine that is gone
                yield from self._finish(reading)

    def _folder_of(self, attempt: Attempt) -> str:
        return self._places.log(attempt.node, attempt.number).parent.name

    def _pieces(self) -> Mapping[str, Piece]:
        """What vendors tell now of jobs that live."""
        if self._make_live is None or not any(job.handle is not None for job, _ in self._jobs.values()):
            return {}
        if self._live is None:
            self._live = self._make_live()
        return self._live.look([job for job, _ in self._jobs.values()])

    def _told(self, reading: _Reading, piece: Piece) -> Iterator[Printed]:
        data = piece.text.encode("utf-8", "replace")
        reading.offset += len(data)
        reading.told = (reading.told + data)[-_TAIL:]
        if piece.text:
            yield _as_printed(reading, piece.text)

    def _resume(self, reading: _Reading, log: BlobRef) -> Iterator[Printed]:
        """Find where a kept log goes on after what a vendor told of it."""
        told, reading.told = reading.told, b""
        with self._blobs.open(log) as blob:
            blob.seek(max(0, reading.offset - len(told)))
            if blob.read(len(told)) == told:
                return
            blob.seek(0)
            at = blob.read().rfind(told)
        reading.offset = 0 if at < 0 else at + len(told)
        if at < 0:
            yield _as_printed(reading, "(the log as it was kept, from its beginning)\n")

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
        if reading.offset < log.size or reading.told:
            try:
                if reading.told:
                    yield from self._resume(reading, log)
                with self._blobs.open(log) as blob:
                    blob.seek(reading.offset)
                    while chunk := blob.read(_CHUNK):
                        reading.offset += len(chunk)
                        yield from _printed(reading, chunk)
            except (FlytePathError, OSError) as error:
                text = f"(the log of attempt {reading.attempt.number} cannot be read: {error})\n"
                yield _as_printed(reading, text)
        yield from self._finish(reading)

    def _finish(self, reading: _Reading) -> Iterator[Printed]:
        reading.finished = True
        self._close(reading)
        if reading.offset:
            text = reading.decoder.decode(b"", final=True)
            yield _as_printed(reading, text, ended=True)

    def _close(self, reading: _Reading) -> None:
        if reading.file is not None:
            reading.file.close()
            reading.file = None
            self._open -= 1


def _printed(reading: _Reading, chunk: bytes) -> Iterator[Printed]:
    text = reading.decoder.decode(chunk)
    if text:
        yield _as_printed(reading, text)


def _as_printed(reading: _Reading, text: str, *, ended: bool = False) -> Printed:
    return Printed(reading.attempt.node, reading.attempt.number, text, ended, reading.slice)
