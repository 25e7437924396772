"""What the kit sees in values: changes of their structure, and mutable parts that two of them share."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from flytepath.testing.object_graph import fingerprint, shared_mutables
from flytepath.testing.pickles import pickle_in, pickle_in_json
from flytepath.testing.plain_json import not_plain
from flytepath.testing.probe import load_class


@dataclasses.dataclass
class Box:
    inner: object


@dataclasses.dataclass(frozen=True)
class Sealed:
    inner: object


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner: object) -> None:
        self.inner = inner


@pytest.mark.parametrize("make", [Box, Sealed, Slotted, lambda x: {"k": x}, lambda x: [x], lambda x: (x,)])
def test_a_change_deep_inside_changes_the_fingerprint(make):
    inner = [1]
    value = make(inner)
    before = fingerprint(value)
    assert fingerprint(make([1])) == before
    inner.append(2)
    assert fingerprint(value) != before


def test_a_fingerprint_tells_types_and_floats_apart():
    assert fingerprint(True) != fingerprint(1)
    assert fingerprint(0.0) != fingerprint(-0.0)
    assert fingerprint(float("nan")) == fingerprint(float("nan"))


def test_a_value_that_contains_itself_is_no_trap():
    ring: list[object] = []
    ring.append(ring)
    assert fingerprint(ring) == fingerprint(ring)
    assert shared_mutables(ring, []) == []


def test_shared_parts_are_found_and_immutable_ones_are_not():
    inner, moment = [1], dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    assert shared_mutables(Sealed(inner), Sealed(inner)) == ["list at .inner"]
    assert shared_mutables(Sealed(moment), Sealed(moment)) == []
    assert shared_mutables((1, "a", Sealed(2)), (1, "a", Sealed(2))) == []
    box = Box(1)
    assert shared_mutables([box], [box]) == ["Box at [0]"]


def test_arrays_share_by_their_memory():
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(4)
    assert shared_mutables(array, array[1:]) != []
    assert shared_mutables(array, array.copy()) == []
    view = array[1:]
    view.flags.writeable = False
    assert shared_mutables(array, view) == []


def test_a_frame_copied_on_writing_shares_nothing():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1, 2]})
    assert shared_mutables(frame, frame.copy(deep=False)) == []
    assert shared_mutables([frame], [frame]) == ["DataFrame at [0]"]


@pytest.mark.parametrize("data", [{1: 2}, float("nan"), {"a": [b"x"]}, {"a": {1}}, (1,)])
def test_what_json_would_change_is_named(data):
    assert not_plain(data)


def test_pickles_are_found_where_they_hide(tmp_path):
    import base64
    import io
    import pickle
    import zipfile

    for protocol in (2, 3, 4, 5):
        content = pickle.dumps({"a": [1]}, protocol)
        assert pickle_in(content)
        assert pickle_in_json({"deep": [base64.b64encode(content).decode()]})
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as writer:
            writer.writestr("model/data.pkl", content)
        assert "data.pkl" in (pickle_in(archive.getvalue()) or "")
    assert pickle_in(b"\x80\x04 not the end") is None
    assert pickle_in_json(["gASVaGVsbG8 is no base64", "plain", 3, None]) is None


def test_a_test_class_is_found_by_its_file(tmp_path):
    path = tmp_path / "test_outside.py"
    path.write_text("class TestIt:\n    class Inner:\n        here = True\n")
    assert load_class("test_outside_of_any_path", str(path), "TestIt.Inner").here
