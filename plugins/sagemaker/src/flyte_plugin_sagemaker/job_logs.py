"""What a job has written, from CloudWatch Logs: one stream for each of its machines, read on from where it was left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from flytepath.plugin import Handle, LogChunk

from flyte_plugin_sagemaker.api_errors import ApiError

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.api import Api
    from flyte_plugin_sagemaker.kind import Kind

Json = Any

_EVENTS: Final = 1000
_STREAMS: Final = 50


def log_chunk(api: Api, kind: Kind, handle: Handle, cursor: str | None) -> LogChunk:
    """The log after a cursor, one piece of each stream.

    Args:
        api: the account.
        kind: what the job is.
        handle: which one.
        cursor: where each stream was left.
    """
    name = str(handle.data["name"])
    seen: dict[str, str] = json.loads(cursor) if cursor else {}
    # Asked before the log is: what it says later belongs to a state that is not yet the last one.
    ended = _has_ended(api, kind, handle)
    streams = _streams(api, kind.log_group, kind.log_prefix(name))
    pieces, tokens, more = [], dict(seen), False
    for stream in streams:
        lines, token, left = _read(api, kind.log_group, stream, seen.get(stream, ""))
        tokens[stream] = token
        more = more or left
        label = f"[{stream.rpartition('/')[2]}] " if len(streams) > 1 else ""
        pieces += [f"{label}{line}\n" for line in lines]
    return LogChunk("".join(pieces), json.dumps(tokens, sort_keys=True), complete=ended and not more)


def _has_ended(api: Api, kind: Kind, handle: Handle) -> bool:
    seen = kind.observe(api, handle, kind.describe(api, str(handle.data["name"])))
    return seen.gone or (seen.phase is not None and seen.phase.is_terminal)


def _streams(api: Api, group: str, prefix: str) -> list[str]:
    try:
        page = api.call("logs", "describe_log_streams", logGroupName=group, logStreamNamePrefix=prefix, limit=_STREAMS)
    except ApiError as error:
        if error.is_absent:  # the group is made with the first line of the first job
            return []
        raise
    return sorted(str(stream["logStreamName"]) for stream in page.get("logStreams") or ())


def _read(api: Api, group: str, stream: str, token: str) -> tuple[list[str], str, bool]:
    """Some lines of one stream, where it goes on, and whether there may be more now."""
    place = {"nextToken": token} if token else {"startFromHead": True}
    try:
        page = api.call("logs", "get_log_events", logGroupName=group, logStreamName=stream, limit=_EVENTS, **place)
    except ApiError as error:
        if error.is_absent:
            return [], token, False
        raise
    lines = [str(event["message"]).rstrip("\n") for event in page.get("events") or ()]
    # At the end CloudWatch gives the token that it was given.
    return lines, str(page.get("nextForwardToken") or token), len(lines) >= _EVENTS


__all__ = ["log_chunk"]
