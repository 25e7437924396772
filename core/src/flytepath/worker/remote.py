"""A worker elsewhere: one attempt, taken from a blob, and its outcome put where the engine looks for it.

``python -m flytepath.worker --attempt URI [--item POSITION]``. Nobody speaks with it while it runs: what it prints is
its log, what it tells besides is kept until its end, and the outputs count from the moment their one object is there.
It ends with 0 when they are, or when this member of a gang has none to give; with 75 where the storage could not be
reached to tell anything; else with 1, or as SIGTERM ends a process where its machine was taken away.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from flytepath.authoring import preemption
from flytepath.engine.secrets import given
from flytepath.errors import FlytePathError, StoreError, WorkerError
from flytepath.model.events import ErrorRecord
from flytepath.model.identity import Tenant
from flytepath.model.literal import BlobRef
from flytepath.model.messages import (
    PROTOCOL_VERSION,
    AttemptErred,
    AttemptOutcome,
    RemoteAttempts,
)
from flytepath.store.blobs import BlobFolder, local_path_of
from flytepath.store.outcomes import UNTOLD, Outcomes, outcomes_at
from flytepath.worker.attempts import AttemptRunner, Outcome
from flytepath.worker.failures import error_record
from flytepath.worker.surroundings import Streams
from flytepath.worker.telling import without_secrets

T = TypeVar("T")

#: Between tries to leave the outcome: the work of hours may hang on a storage that is away for a moment.
_PAUSES: Final = (0.5, 2.0, 8.0)
#: So long may what a task has left running hold up the end of the process.
_LINGER_SECONDS: Final = 5.0


class RemoteWorker:
    """One attempt in this process.

    Args:
        given: the attempts, of which it runs one.
        position: which.
    """

    def __init__(self, given: RemoteAttempts, position: int) -> None:
        if not 0 <= position < len(given.attempts):
            raise WorkerError("there is no such item", expected=f"0 to {len(given.attempts) - 1}", actual=str(position))
        self._given = given
        self._facts = given.attempts[position]
        self._outcomes: Outcomes = outcomes_at(given.outcomes[position])
        self._reports: list[Any] = []
        # Held again by the same thread where SIGTERM comes while a task writes a deck.
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._scratch = Path(tempfile.mkdtemp(prefix="flytepath-attempt-"))

    def run(self) -> int:
        """Run it; the exit status of the process."""
        try:
            if _patiently(self._outcomes.result) is not None:
                _say("the outputs of this attempt are there already")
                return 0
            preemption.install(self._preempted)
            return self._told(self._outcome(), patiently=True)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _outcome(self) -> Outcome | None:
        """What comes of the attempt; ``None`` where this process gives no outputs."""
        given = self._given
        tenant = Tenant(given.project, given.domain)
        blobs = BlobFolder(given.blob_root, given.project, given.domain, cache=self._scratch / "blobs")
        try:
            code = self._unpacked(blobs)
        except FlytePathError as error:
            return AttemptErred(error=ErrorRecord.of(error, kind="system", place=given.task.name))
        if code is not None:
            sys.path.insert(0, str(code))
            # Processes that the task starts import the same code.
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(code), os.environ.get("PYTHONPATH"))))
        facts = self._facts.model_copy(
            update={"working_directory": str(self._scratch / "work"), "checkpoint_sources": self._checkpoint_sources()}
        )
        runner = AttemptRunner("" if code is None else str(code), blobs, tenant, self._report)
        preemption.attempt_begins(preemption.deadline())
        try:
            outcome = runner.run(given.task, facts)
        finally:
            preemption.attempt_ended()  # if it was preempted, this ends the process
        if os.getpid() != self._process:
            os._exit(0)  # the child of a task that forked and came back
        return None if runner.gave_nothing else outcome

    def _checkpoint_sources(self) -> tuple[str, ...]:
        """Where checkpoints may lie: first this attempt's own place.

        A vendor may start the process again that was running the attempt, as on machines that are taken away and
        replaced by others, and members of a gang share what one of them saved.
        """
        own, earlier = self._facts.checkpoint_destination, self._facts.checkpoint_sources
        return earlier if own is None else (own, *(place for place in earlier if place != own))

    def _unpacked(self, blobs: BlobFolder) -> Path | None:
        bundle = self._given.bundle
        if bundle is None:
            return None
        folder = self._scratch / "code"
        with zipfile.ZipFile(blobs.local_path(BlobRef(bundle.uri, bundle.digest, bundle.size))) as archive:
            archive.extractall(folder)
        return folder

    def _report(self, message: Any) -> None:
        """What is told while it runs; decks may come from other threads of a task."""
        with self._lock:
            self._reports.append(message)

    def _told(self, outcome: Outcome | None, *, patiently: bool = False) -> int:
        """Leave the outcome where it is looked for; the exit status."""
        with self._lock:
            reports = tuple(self._reports)
        whole = AttemptOutcome(
            protocol=PROTOCOL_VERSION, at=time.time(), host=socket.gethostname(), outcome=outcome, reports=reports
        )
        content = whole.model_dump_json().encode()
        pauses = _PAUSES if patiently else ()
        if outcome is None:
            if reports:
                _patiently(lambda: self._outcomes.add("reports", content), pauses)
            return 0
        if isinstance(outcome, AttemptErred):
            _say(_shown(outcome.error))
            _patiently(lambda: self._outcomes.add("errors", content), pauses)
            return 1
        if not _patiently(lambda: self._outcomes.commit(content), pauses):
            _say("another run of this attempt was first with its outputs")
        return 0

    def failed(self, error: Exception) -> None:
        """Leave word of a fault of ours, or of the storage, that kept the outcome from being told."""
        record = without_secrets(error_record(error, self._given.task.name, "").model_copy(update={"kind": "system"}))
        self._told(AttemptErred(error=record))

    def _preempted(self, report: preemption.PreemptedReport) -> None:
        """SIGTERM has ended the attempt; the process ends after this."""
        record = without_secrets(report.record(self._given.task.name))
        self._told(AttemptErred(error=record, progress=report.step))
        shutil.rmtree(self._scratch, ignore_errors=True)


def _shown(error: ErrorRecord) -> str:
    return "\n".join(part for part in (error.traceback, f"[{error.code}] {error.message}") if part)


def _say(text: str) -> None:
    """Into the log; SIGTERM may have come while the task printed, and the task may have closed the stream."""
    with suppress(OSError, ValueError, RuntimeError, AttributeError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - its log


def _patiently(ask: Callable[[], T], pauses: tuple[float, ...] = _PAUSES) -> T:
    """What ``ask`` returns, asked again where the storage does not answer."""
    for pause in pauses:
        try:
            return ask()
        except (StoreError, OSError) as error:
            _say(f"tried again in {pause:g} s: {error}")
        time.sleep(pause)
    return ask()


def attempts_at(uri: str) -> RemoteAttempts:
    """The attempts of a blob, checked against the digest that is its name.

    Raises:
        StoreError: it is not there, or out of reach.
        WorkerError: it is damaged, or made by another version.
    """
    local = local_path_of(uri)
    try:
        if local is not None:
            content = _patiently(local.read_bytes)
        else:
            from flytepath.store.remote_files import files_at

            files, path = files_at(uri, "attempts", StoreError)
            content = _patiently(lambda: files.cat_file(path))
    except Exception as error:
        raise StoreError(
            "the attempt cannot be read", place=uri, actual=str(error), hint="can this machine reach the blobs?"
        ) from error
    if hashlib.sha256(content).hexdigest() != uri.rpartition("/")[2]:
        raise WorkerError("the attempt is damaged", place=uri)
    try:
        facts = json.loads(content)
        protocol = facts.get("protocol") if isinstance(facts, dict) else None
        if protocol == PROTOCOL_VERSION:
            return RemoteAttempts.model_validate_json(content)
    except ValueError as error:
        raise WorkerError("the attempt cannot be understood", place=uri, actual=str(error)) from error
    if protocol is None:
        raise WorkerError("the attempt cannot be understood", place=uri, actual=content[:80].decode(errors="replace"))
    raise WorkerError(
        "the engine speaks another protocol than the flytepath of this image",
        place=uri,
        expected=str(PROTOCOL_VERSION),
        actual=str(protocol),
        hint="use an image with the flytepath of the engine",
    )


def _keep_secrets_out() -> Streams:
    """From the first secret that the task is given on, what is printed passes a filter."""
    streams = Streams()
    streams.file = f"/proc/{os.getpid()}/fd/{os.dup(2)}"
    given.keep(streams.keep_out)
    return streams


def main(arguments: list[str]) -> int:
    """Run what the arguments name; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m flytepath.worker")
    parser.add_argument("--attempt", required=True, metavar="URI", help="the blob with the attempt")
    parser.add_argument("--item", type=int, default=0, metavar="POSITION", help="which of the attempts in it")
    parsed = parser.parse_args(arguments)
    faulthandler.enable()
    worker: RemoteWorker | None = None
    try:
        worker = RemoteWorker(attempts_at(parsed.attempt), parsed.item)
        streams = _keep_secrets_out()
        try:
            status = worker.run()
        finally:
            streams.finish()
    except Exception as error:  # noqa: BLE001 - it is told to whoever reads the log, and to the engine if it can be
        status = _fault(worker, error)
    return status


def _fault(worker: RemoteWorker | None, error: Exception) -> int:
    """Tell of what is no failure of the task; the exit status."""
    if isinstance(error, FlytePathError):
        _say(str(error))
    else:
        traceback.print_exc()
    if worker is not None:
        with suppress(Exception):
            worker.failed(error)
            return 1
    return UNTOLD if worker is not None or isinstance(error, StoreError) else 1


def leave(status: int) -> NoReturn:
    """End this process, soon also where threads or processes that the task has left running would hold it up."""

    def end() -> None:
        time.sleep(_LINGER_SECONDS)
        _say("what the task has left running is ended")
        os._exit(status)

    threading.Thread(target=end, name="flytepath-end", daemon=True).start()
    sys.exit(status)
