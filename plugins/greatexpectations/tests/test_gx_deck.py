"""The report shows everything, and nothing in it can do anything."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser

import pandas as pd
import pytest
from flyte_plugin_greatexpectations import GreatExpectationsTask, expect
from gx_attempt import Attempt

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "</td></table><iframe src='https://evil.example'></iframe>",
    '" onmouseover="alert(3)',
    "a & b &lt;c&gt;",
    "$PARAMETER ${x} $$",
    "\ue000script\ue001",
]


class Reader(HTMLParser):
    """What a browser would make of a deck."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def deck(attempt: Callable[[GreatExpectationsTask], Attempt]) -> Reader:
    frame = pd.DataFrame({"plain": HOSTILE, "<b>bold</b>": HOSTILE, "null": [None] * len(HOSTILE)})
    validation = attempt(
        GreatExpectationsTask(
            name="check<script>alert(4)</script>",
            expectations=[
                expect("column_values_to_be_in_set", column="plain", value_set=["<script>alert(5)</script>"]),
                expect("column_values_to_match_regex", column="<b>bold</b>", regex="(?<!<i>)$x"),
                expect("column_values_to_not_be_null", column="null"),
                expect("table_columns_to_match_set", column_set=["<u>"]),
                expect("column_most_common_value_to_be_in_set", column="plain", value_set=["x"]),
                {
                    "type": "table_row_count_to_equal",
                    "kwargs": {"value": 1},
                    "notes": "<script>alert(6)</script>",
                    "description": "<script>alert(7)</script>",
                    "severity": "warning",
                },
            ],
            inputs={"frame": pd.DataFrame},
            on_failure="return",
            examples=20,
        )
    )
    validation.run(frame=frame)
    return Reader(validation.deck)


def test_the_deck_holds_no_script_and_nothing_from_elsewhere(deck: Reader) -> None:
    words = "a b br code details div em h2 h3 h4 h5 h6 hr i li ol p span strong style sub summary sup ul"
    assert deck.tags <= {*words.split(), *["table", "tbody", "td", "th", "thead", "tr"]}
    names = {name for name, _ in deck.attributes}
    assert names <= {"class", "id", "colspan", "rowspan", "hidden", "href"}
    assert all(value.startswith("#") for name, value in deck.attributes if name == "href")


def test_the_deck_is_balanced(deck: Reader) -> None:
    assert deck.open == []


def test_the_deck_shows_hostile_cells_as_they_are(deck: Reader) -> None:
    for value in HOSTILE[:-1]:
        assert value in deck.text
    assert "\ufffdscript\ufffd" in deck.text
    assert "<b>bold</b>" in deck.text


def test_the_deck_has_the_librarys_own_words(deck: Reader) -> None:
    assert "Evaluated Expectations" in deck.text
    assert "values must" in deck.text.lower()
    assert "7 rows, 3 columns" in deck.text


def test_the_deck_of_a_success_says_so(attempt: Callable[[GreatExpectationsTask], Attempt]) -> None:
    validation = attempt(
        GreatExpectationsTask(
            name="fine",
            expectations=[expect("table_row_count_to_equal", value=1)],
            inputs={"frame": pd.DataFrame},
        )
    )
    validation.run(frame=pd.DataFrame({"x": [1]}))
    assert "all 1 expectations met" in validation.deck
