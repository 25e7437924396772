"""``kwtypes(...)`` is a dict that annotations of every form can hold."""

from __future__ import annotations

import json
import pickle
from typing import Annotated, Optional, Union

import pytest
from flytepath import kwtypes
from flytepath.types.engine import codec


def test_it_is_a_dict():
    types = kwtypes(x=int, y=str)
    assert types == {"x": int, "y": str}
    assert list(types) == ["x", "y"]
    assert repr(types) == repr({"x": int, "y": str})
    assert json.dumps(kwtypes(a=1)) == '{"a": 1}'
    assert pickle.loads(pickle.dumps(types)) == types


def test_it_can_stand_in_every_annotation():
    numbers = Annotated[int, kwtypes(a=int, b=[1])]
    for t in (Optional[numbers], numbers | None, Union[numbers, str], list[numbers]):  # noqa: UP007, UP045
        assert codec(t)


def test_order_counts():
    assert kwtypes(a=int, b=str) != kwtypes(b=str, a=int)
    assert kwtypes(a=int) == kwtypes(a=int)
    assert hash(kwtypes(a=int)) == hash(kwtypes(a=int))


def test_columns_are_declared_in_optionals_and_containers():
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"a": [1], "b": ["x"]})
    forwards = codec(list[Annotated[pandas.DataFrame, kwtypes(a=int, b=str)]]).isolate([frame])
    backwards = codec(list[Annotated[pandas.DataFrame, kwtypes(b=str, a=int)]]).isolate([frame])
    assert (list(forwards[0]), list(backwards[0])) == (["a", "b"], ["b", "a"])
    maybe = codec(Annotated[pandas.DataFrame, kwtypes(a=int)] | None)
    assert list(maybe.isolate(frame)) == ["a"]
    assert maybe.isolate(None) is None
