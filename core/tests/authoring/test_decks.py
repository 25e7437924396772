from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from flytepath.authoring.context import ExecutionContext, current_context, entered
from flytepath.authoring.decks.deck import Deck, TimelineDeck, timeit
from flytepath.errors import DefinitionError

Told = list[tuple[str, str]]


def context_that_tells(told: Told) -> ExecutionContext:
    return ExecutionContext(node_path="t", on_deck=lambda name, html: told.append((name, html)))


def test_several_appends_are_one_deck_with_everything() -> None:
    told: Told = []
    with entered(context_that_tells(told)) as context:
        deck = Deck("report", "<p>1</p>")
        assert deck.append("<p>2</p>").append("<p>3</p>") is deck
        assert context.decks == (deck,)
        assert told == []
    assert told == [("report", "<p>1</p>\n<p>2</p>\n<p>3</p>")]


def test_decks_are_kept_when_the_attempt_fails() -> None:
    told: Told = []
    with pytest.raises(ZeroDivisionError), entered(context_that_tells(told)):
        Deck("report", "<p>so far</p>")
        _ = 1 / 0
    assert told == [("report", "<p>so far</p>")]


def test_a_failure_to_keep_decks_does_not_hide_the_task_s_own() -> None:
    def refuse(name: str, html: str) -> None:
        raise OSError("disk full")

    with pytest.raises(ZeroDivisionError) as caught, entered(ExecutionContext(on_deck=refuse)):
        Deck("report", "x")
        _ = 1 / 0
    assert "disk full" in caught.value.__notes__[0]
    with pytest.raises(OSError, match="disk full"), entered(ExecutionContext(on_deck=refuse)):
        Deck("report", "x")
    assert current_context().node_path == ""


def test_publishing_shows_what_there_is_and_nothing_twice() -> None:
    told: Told = []
    with entered(context_that_tells(told)):
        deck = Deck("report", "a")
        Deck.publish()
        Deck.publish()
        deck.append("b")
        deck.publish()
    assert told == [("report", "a"), ("report", "a\nb")]


def test_an_empty_deck_is_left_out_and_a_second_of_a_name_replaces() -> None:
    told: Told = []
    with entered(context_that_tells(told)) as context:
        Deck("empty")
        Deck("none", None)
        Deck("plot", "first")
        Deck("plot", "second")
        Deck("apart", "x", auto_add_to_deck=False)
        assert [deck.name for deck in context.decks] == ["empty", "none", "plot"]
    assert told == [("plot", "second")]


def test_a_plugin_s_deck_is_kept_at_once() -> None:
    told: Told = []
    with entered(context_that_tells(told)) as context:
        context.add_deck("check", "<p>fine</p>")
        assert told == [("check", "<p>fine</p>")]
    assert told == [("check", "<p>fine</p>")]


def test_the_default_deck_is_there_when_it_is_used() -> None:
    told: Told = []
    with entered(context_that_tells(told)):
        current_context().default_deck.append("x")
        assert current_context().default_deck is current_context().default_deck
    assert told == [("Default", "x")]


@pytest.mark.parametrize(
    "make", [lambda: Deck(""), lambda: Deck(None), lambda: Deck("a", 3), lambda: Deck("a").append(3)]
)  # type: ignore[arg-type]
def test_what_is_no_deck_is_refused(make: Any) -> None:
    with pytest.raises(DefinitionError, match=r"Deck|deck"):
        make()


def test_outside_a_task_a_deck_belongs_to_nobody() -> None:
    assert Deck("x", "y").html == "y"
    assert current_context().decks == ()
    Deck.publish()


def test_steps_are_timed_and_shown_escaped() -> None:
    told: Told = []
    with pytest.raises(ValueError), entered(context_that_tells(told)) as context:
        with timeit("<fit>"):
            pass
        assert isinstance(context.timeline_deck, TimelineDeck)
        with timeit():
            raise ValueError
    ((name, html),) = told
    assert name == "Timeline"
    assert "&lt;fit&gt;" in html and "<fit>" not in html and "step" in html
    assert html.count("<rect") == 2


def test_a_timeline_takes_flytekit_s_records() -> None:
    deck = TimelineDeck(auto_add_to_deck=False)
    assert deck.html == ""
    now = dt.datetime.now(dt.UTC)
    deck.append_time_info({"Name": "load", "Start": now, "Finish": now, "WallTime": 0.0, "ProcessTime": 0.0})
    assert "load" in deck.html
