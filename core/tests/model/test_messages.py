"""The messages between engine and worker, held by golden frames: an older worker must be understood or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from flytepath.model.messages import (
    FRAME_LIMIT,
    FROM_WORKER,
    PROTOCOL_VERSION,
    TO_WORKER,
    AttemptFacts,
    FromWorker,
    Hello,
    RunAttempt,
    Shutdown,
    StartAttempt,
    ToWorker,
    Welcome,
    frame,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "messages"
ADAPTERS = {"to_worker": TO_WORKER, "from_worker": FROM_WORKER}


def golden(direction: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLDEN / f"v{PROTOCOL_VERSION}-{direction}.jsonl").read_text().splitlines()]


def is_kept(old: Any, new: Any) -> bool:
    """Whether all that ``old`` says is said by ``new``, which may say more: fields of later releases."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and is_kept(value, new[key]) for key, value in old.items())
    if isinstance(old, list):
        return isinstance(new, list) and len(old) == len(new) and all(map(is_kept, old, new))
    return bool(old == new)


@pytest.mark.parametrize("direction", sorted(ADAPTERS))
def test_stored_messages_are_read_and_written_back_as_they_were(direction: str) -> None:
    for line in golden(direction):
        assert is_kept(line, ADAPTERS[direction].validate_python(line).model_dump(mode="json"))


@pytest.mark.parametrize(("direction", "union"), [("to_worker", ToWorker), ("from_worker", FromWorker)])
def test_every_message_stands_in_the_archive(direction: str, union: Any) -> None:
    kinds = {kind.model_fields["type"].default for kind in get_args(get_args(union)[0])}
    assert {line["type"] for line in golden(direction)} == kinds


def test_a_frame_is_its_length_and_its_json() -> None:
    message = Hello(pid=1, python="3.11.0", flytepath="0.1.0")
    data = frame(message)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert FROM_WORKER.validate_json(data[4:]) == message


def test_a_frame_over_the_limit_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="over the limit"):
        frame(Welcome(project="p", domain="d", code_path="x" * FRAME_LIMIT, blob_root="b"))


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="surprise"):
        TO_WORKER.validate_python({"type": "shutdown", "surprise": 1})
    assert TO_WORKER.validate_python({"type": "shutdown"}) == Shutdown()


def test_the_first_word_of_an_older_worker_is_understood_so_that_it_can_be_refused() -> None:
    for version in range(1, PROTOCOL_VERSION):
        hello = FROM_WORKER.validate_json((GOLDEN / f"v{version}-from_worker.jsonl").read_text().splitlines()[0])
        assert isinstance(hello, Hello)
        assert hello.protocol == version


def test_a_start_says_all_of_an_attempt_but_its_task() -> None:
    request = next(line for line in golden("to_worker") if line["type"] == "run_attempt")
    start = StartAttempt.of(RunAttempt.model_validate(request), (1, 3))
    sent = TO_WORKER.validate_json(frame(start)[4:])
    assert sent == start
    assert (start.task, start.processors) == (request["task"]["name"], (1, 3))
    kept = start.model_dump(mode="json")
    assert all(is_kept(request[name], kept[name]) for name in AttemptFacts.model_fields if name in request)
