"""The cache key: stable for ever, and different wherever a result could be."""

from __future__ import annotations

from typing import Any

import pytest
from flytepath.errors import UsageError
from flytepath.model.cache_key import cache_key
from flytepath.model.literal import Literal
from flytepath.model.task import Interface, Variable
from flytepath.model.types import FLOAT, INTEGER, STRING

INTERFACE = Interface(
    inputs=(Variable(name="a", type=INTEGER), Variable(name="b", type=STRING)),
    outputs=(Variable(name="o0", type=FLOAT),),
)
FACTS: dict[str, Any] = {
    "task": "flow.t",
    "interface": INTERFACE,
    "version": "1",
    "inputs": {"a": "sha256:1", "b": "sha256:2"},
}


def test_the_key_never_changes() -> None:
    assert cache_key(**FACTS) == "sha256:0d0ee83cd30072e3b459ec64a25f78c844a1dbf8c85c7d6d99f1faaf32703df0"


@pytest.mark.parametrize(
    "change",
    [
        {"task": "flow.u"},
        {"version": "2"},
        {"salt": "x"},
        {"inputs": {"a": "sha256:1", "b": "sha256:3"}},
        {"inputs": {"a": "sha256:2", "b": "sha256:1"}},
        {"interface": INTERFACE.model_copy(update={"outputs": (Variable(name="o0", type=INTEGER),)})},
        {"interface": INTERFACE.model_copy(update={"outputs": (Variable(name="y", type=FLOAT),)})},
    ],
)
def test_whatever_can_change_a_result_changes_the_key(change: dict[str, Any]) -> None:
    assert cache_key(**FACTS | change) != cache_key(**FACTS)


def test_defaults_and_documentation_do_not_count() -> None:
    a = Variable(name="a", type=INTEGER, required=False, default=Literal.make(INTEGER, 3))
    changed = INTERFACE.model_copy(update={"inputs": (a, INTERFACE.inputs[1])})
    assert cache_key(**FACTS | {"interface": changed}) == cache_key(**FACTS)


def test_an_ignored_input_does_not_count() -> None:
    one = cache_key(**FACTS, ignored=("b",))
    assert cache_key(**FACTS | {"inputs": {"b": "other", "a": "sha256:1"}}, ignored=["b"]) == one


def test_an_ignored_input_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(UsageError, match="does not exist: c"):
        cache_key(**FACTS, ignored=("c",))
