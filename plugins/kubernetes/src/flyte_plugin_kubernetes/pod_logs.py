"""The log of a job: of all its pods and containers, each line once, wherever it is read on.

The API has no place in a log but a second of time. So lines are asked for with their times, from the second of the last
one that was read, and those that were read already are left out: a cursor holds that time, and how many lines bear it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from flytepath.plugin import BackendError, ErrorClass, LogChunk

from flyte_plugin_kubernetes.api_errors import ApiAnswerError
from flyte_plugin_kubernetes.ending import ended_as
from flyte_plugin_kubernetes.looking import JobRef, pods_of
from flyte_plugin_kubernetes.resource_kind import POD

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.custom_resource import CustomResourceBackend

Json = Any

#: So much of one container's log is asked for at once; more where a single second holds more.
_BYTES: Final = 1 << 20
_MOST_BYTES: Final = 1 << 28
#: So many containers are read for one piece.
_STREAMS: Final = 50
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
_NANO: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Stream:
    """One container of one pod, in one of its lives."""

    pod: str
    container: str
    id: str
    has_ended: bool
    begins: str


@dataclass(slots=True)
class _At:
    """How far a stream was read: the time of the last line in nanoseconds, and how many lines bear that time."""

    nanos: int = -1
    lines: int = 0
    is_done: bool = False


def log_chunk(backend: CustomResourceBackend, job: JobRef, cursor: str | None) -> LogChunk:
    """The next piece of a job's log."""
    known, last = _read(cursor)
    thing = backend.client.get(job.kind, job.namespace, job.name)
    if thing is not None and job.uid and thing["metadata"]["uid"] != job.uid:
        thing = None
    pods = pods_of(backend, job)
    streams = list(_streams(pods))
    is_over = thing is None or ended_as(backend, job, thing) is not None
    with_heads = job.kind != POD or len({stream.container for stream in streams} | _containers(pods)) > 1
    parts: list[str] = []
    size = count = 0
    for stream in streams:
        at = known.setdefault(stream.id, _At())
        if at.is_done:
            continue
        if size >= _BYTES or count >= _STREAMS:
            break
        count += 1
        text = _more(backend, job.namespace, stream, at, is_over)
        if not text:
            continue
        if with_heads and stream.id != last:
            parts.append(f"{_break(parts)}=== {stream.pod} {stream.container} ===\n")
        parts.append(text)
        size += len(text)
        last = stream.id
    is_complete = is_over and all(known.get(stream.id, _At()).is_done for stream in streams)
    return LogChunk("".join(parts), _written(known, last), complete=is_complete)


def _more(backend: CustomResourceBackend, namespace: str, stream: _Stream, at: _At, is_over: bool) -> str:
    """What a container wrote since; ``at`` moves on."""
    since = datetime.fromtimestamp(at.nanos // _NANO, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at.nanos >= 0 else ""
    limit = _BYTES
    while True:
        try:
            data = backend.client.log(
                namespace, stream.pod, stream.container, since=since or stream.begins, limit_bytes=limit
            )
        except ApiAnswerError as error:
            if error.status not in (400, 404):  # it has not begun, or is gone with its log
                raise
            at.is_done = is_over or stream.has_ended
            return ""
        is_cut = len(data) >= limit
        lines = data.decode("utf-8", "replace").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n") and (is_cut or not stream.has_ended):
            lines.pop()
        text = _after(lines, at)
        if text or not is_cut or limit >= _MOST_BYTES:
            at.is_done = not is_cut and (stream.has_ended or is_over)
            return text
        limit *= 4


def _after(lines: Sequence[str], at: _At) -> str:
    """The text of those lines that were not read yet; ``at`` moves behind them."""
    found: list[str] = []
    skip = at.lines
    start = at.nanos
    for line in lines:
        stamp, _, text = line.partition(" ")
        nanos = _nanos(stamp)
        if nanos is None:  # a line without a time belongs to the one before it
            if found:
                found.append(line)
            continue
        if nanos < start:
            continue
        if nanos == start and skip:
            skip -= 1
            continue
        at.nanos, at.lines = nanos, at.lines + 1 if nanos == at.nanos else 1
        found.append(text)
    return "".join(found)


def _nanos(stamp: str) -> int | None:
    match = _TIME.fullmatch(stamp)
    if match is None:
        return None
    seconds = int(datetime.fromisoformat(f"{match[1]}{match[3]}").timestamp())
    return seconds * _NANO + int((match[2] or "").ljust(9, "0")[:9])


def _streams(pods: Sequence[Mapping[str, Json]]) -> Iterator[_Stream]:
    """The containers that have begun, in the order of their pods and in that."""
    for pod in sorted(pods, key=_order):
        metadata, status = pod["metadata"], pod.get("status") or {}
        known = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        for container in known:
            state = container.get("state") or {}
            if not (state.get("running") or state.get("terminated") or container.get("restartCount")):
                continue
            name, life = str(container["name"]), int(container.get("restartCount") or 0)
            id = f"{metadata['uid']}/{name}" + (f"#{life}" if life else "")
            begins = str(metadata.get("creationTimestamp") or "1970-01-01T00:00:00Z")
            yield _Stream(metadata["name"], name, id, bool(state.get("terminated")), begins)


def _order(pod: Mapping[str, Json]) -> tuple[int, str]:
    annotations = pod["metadata"].get("annotations") or {}
    index = str(annotations.get("batch.kubernetes.io/job-completion-index") or "0")
    return int(index) if index.isdigit() else 0, pod["metadata"]["name"]


def _containers(pods: Sequence[Mapping[str, Json]]) -> set[str]:
    specs = [pod.get("spec") or {} for pod in pods]
    known = [c for spec in specs for c in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]]
    return {str(container.get("name")) for container in known}


def _break(parts: Sequence[str]) -> str:
    return "\n" if parts and not parts[-1].endswith("\n") else ""


def _read(cursor: str | None) -> tuple[dict[str, _At], str]:
    if cursor is None:
        return {}, ""
    try:
        last, told = json.loads(cursor)
        return {id: _At(int(nanos), int(lines), bool(done)) for id, (nanos, lines, done) in told.items()}, str(last)
    except (TypeError, ValueError, AttributeError) as error:
        raise BackendError("not a cursor of this backend", error_class=ErrorClass.PROTOCOL) from error


def _written(known: Mapping[str, _At], last: str) -> str:
    told = {id: [at.nanos, at.lines, int(at.is_done)] for id, at in known.items()}
    return json.dumps([last, told], separators=(",", ":"))


__all__ = ["log_chunk"]
