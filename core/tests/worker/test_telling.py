"""What an attempt tells besides its log: errors, decks and checks, without the values that were given."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from flytepath import ExecutionContext
from flytepath.engine.secrets import given, known
from flytepath.model.events import ErrorRecord
from flytepath.model.messages import BoundaryResult
from flytepath.worker import telling

VALUE = "swordfish-7Q"
MARK = "[secret db.password]"


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(given, "values", {})
    monkeypatch.setattr(given, "_is_kept", False)
    monkeypatch.setattr(given, "_listener", None)
    monkeypatch.setattr(known, "_redactor", None)
    yield


def record(text: str) -> ErrorRecord:
    return ErrorRecord(
        kind="user",
        code="FP-TASK-FAILED",
        type=text,
        message=text,
        place=text,
        expected=text,
        actual=text,
        hint=text,
        traceback=text,
    )


def check(text: str) -> BoundaryResult:
    details = {"rows": [{"value": text, text: 1}], "passed": False, "rate": 0.5}
    return BoundaryResult(variable="x", side="reading", checker="c", passed=False, message=text, details=details)


def test_every_field_is_searched() -> None:
    given.keep()
    given.note("db.password", VALUE.encode())
    assert telling.without_secrets(record(f"it is {VALUE}!")) == record(f"it is {MARK}!")
    assert telling.check_without_secrets(check(VALUE)) == check(MARK)
    assert telling.deck_without_secrets(VALUE, f"<b>{VALUE}</b>") == (MARK, f"<b>{MARK}</b>")


def test_a_task_can_have_the_same_done_to_what_it_leaves_elsewhere() -> None:
    context = ExecutionContext()
    assert context.without_secrets(VALUE) == VALUE
    given.keep()
    given.note("db.password", VALUE.encode())
    assert context.without_secrets(f"it is {VALUE}!") == f"it is {MARK}!"


def test_without_a_secret_nothing_is_changed_and_nothing_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "flytepath.engine.secrets.redaction", raising=False)
    one, other = record(VALUE), check(VALUE)
    assert telling.without_secrets(one) is one
    assert telling.check_without_secrets(other) is other
    assert telling.deck_without_secrets("a", "b") == ("a", "b")
    assert "flytepath.engine.secrets.redaction" not in sys.modules


def test_nothing_is_noted_where_nobody_runs_attempts() -> None:
    given.note("db.password", VALUE.encode())
    assert not given.values


def test_a_value_that_comes_later_is_searched_for_too() -> None:
    given.keep()
    given.note("db.password", VALUE.encode())
    telling.without_secrets(record(""))
    given.note("api.token", b"another-one")
    assert telling.without_secrets(record(f"{VALUE} another-one")).message == f"{MARK} [secret api.token]"


def test_who_listens_is_told_of_each_value_once_and_can_refuse_it() -> None:
    heard: list[tuple[str, bytes]] = []
    given.keep(lambda label, value: heard.append((label, value)))
    for _ in range(2):
        given.note("db.password", VALUE.encode())
    assert heard == [("db.password", VALUE.encode())]

    def refuse(_label: str, _value: bytes) -> None:
        raise RuntimeError("no")

    given.keep(refuse)
    with pytest.raises(RuntimeError):
        given.note("api.token", b"another-one")
    assert list(given.values) == [VALUE.encode()]


def test_only_so_many_are_remembered() -> None:
    given.keep()
    for number in range(given.LIMIT + 5):
        given.note("n", b"value-%d" % number)
    assert len(given.values) == given.LIMIT
    assert b"value-4" not in given.values and b"value-5" in given.values
