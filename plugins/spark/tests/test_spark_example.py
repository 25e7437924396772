"""The example gives what it says, called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def ratings(spark: Any) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "examples"))
        yield importlib.import_module("ratings")
    del sys.modules["ratings"]


def test_films_are_recommended(ratings: Any) -> None:
    assert ratings.recommend() == ["casablanca", "alien", "brazil"]
    assert ratings.recommend(at_least=2) == ["alien"]


def test_means_are_those_of_pandas(ratings: Any) -> None:
    assert ratings.means() == {
        "alien 2023": 1.0,
        "alien 2024": 0.7,
        "brazil 2023": 0.4,
        "brazil 2024": 0.6,
        "casablanca 2024": 1.0,
    }
