"""numpy arrays: bit by bit, mapped or copied, and objects only where pickle was asked for."""

from __future__ import annotations

import io
from typing import Annotated, Any

import pytest

numpy = pytest.importorskip("numpy")

from flytepath import kwtypes  # noqa: E402
from flytepath.errors import DefinitionError, TypeTransformerFailedError  # noqa: E402
from flytepath.types.engine import codec  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra import numpy as drawn  # noqa: E402

Array = numpy.ndarray


@given(
    drawn.arrays(
        st.one_of(
            drawn.scalar_dtypes().filter(lambda dtype: dtype.kind != "O"),
            drawn.array_dtypes(max_size=3, allow_subarrays=True),
        ),
        drawn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_any_array_comes_back_bit_by_bit(array, turned):
    from flytepath.testing import MemoryBlobs

    if array.dtype.hasobject:
        return
    blobs = MemoryBlobs()
    value = array.T if turned else array
    literal = codec(Array).encode(value, blobs)
    back = codec(Array).decode(literal, blobs)
    assert (back.dtype, back.shape) == (value.dtype, value.shape)
    assert back.dtype.byteorder == value.dtype.byteorder
    assert back.tobytes() == value.tobytes()
    assert back.flags.f_contiguous == value.flags.f_contiguous
    assert back.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(6.0).reshape(2, 3),
        numpy.asfortranarray(numpy.arange(6).reshape(2, 3)),
        numpy.array("2020-01-01", dtype="M8[D]"),
        numpy.array([(1, "é")], dtype=[("ä", "i4"), ("ж", "U3")]),
        numpy.arange(10)[::3],
        numpy.zeros((0, 3)),
        numpy.zeros(3, dtype="V0"),
    ],
    ids=range(7),
)
def test_a_blob_is_what_numpy_saves(array, blobs):
    import warnings

    saved = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        numpy.save(saved, array)
        literal = codec(Array).encode(array, blobs)
    assert blobs.get(literal.ref) == saved.getvalue()


def test_an_array_can_be_handed_over_as_a_map_of_the_blob(blobs):
    array = numpy.arange(1000.0)
    literal = codec(Array).encode(array, blobs)
    mapped = codec(Annotated[Array, kwtypes(mmap_mode="r")])
    for back in (mapped.decode(literal, blobs), mapped.isolate(array)):
        assert type(back) is Array
        assert not back.flags.writeable
        assert back.tolist() == array.tolist()
    assert isinstance(mapped.decode(literal, blobs).base, numpy.memmap)
    assert codec(Array).encode(mapped.decode(literal, blobs), blobs) == literal
    own = codec(Annotated[Array, {"mmap_mode": "c"}]).decode(literal, blobs)
    own[0] = 7
    assert codec(Array).decode(literal, blobs)[0] == 0


def test_a_map_that_would_change_the_stored_value_is_refused():
    for mode in ("r+", "w+", "x", 1):
        with pytest.raises(DefinitionError, match="mmap_mode"):
            codec(Annotated[Array, kwtypes(mmap_mode=mode)])


def test_objects_are_kept_where_pickle_is_asked_for(round_trip):
    array = numpy.array([{"a": 1}, None], dtype=object)
    asked = Annotated[Array, kwtypes(allow_pickle=True)]
    assert round_trip(asked, array).tolist() == array.tolist()
    own = codec(asked).isolate(array)
    own[0]["a"] = 2
    assert array[0] == {"a": 1}
    with pytest.raises(TypeTransformerFailedError, match="allow_pickle"):
        codec(Array).isolate(array)
    with pytest.raises(TypeTransformerFailedError):
        codec(list[Array]).isolate([array])
    assert codec(list[asked]).isolate([array])[0].dtype == object


def test_pickle_is_refused_where_the_configuration_forbids_it(monkeypatch):
    from flytepath import config

    monkeypatch.setattr(config, "pickle_forbidden_by", lambda: "flytepath.toml")
    with pytest.raises(DefinitionError, match=r"allow_pickle.*|flytepath\.toml"):
        codec(Annotated[Array, kwtypes(allow_pickle=True)])
    assert codec(Annotated[Array, kwtypes(allow_pickle=False)])


def test_options_that_no_array_has_are_refused():
    with pytest.raises(DefinitionError, match="'order'"):
        codec(Annotated[Array, kwtypes(order="C")])
    with pytest.raises(DefinitionError, match="true or false"):
        codec(Annotated[Array, kwtypes(allow_pickle="yes")])


def test_a_damaged_blob_is_an_error(blobs):
    literal = codec(Array).encode(numpy.arange(10), blobs)
    other = blobs.put(b"\x93NUMPY nothing")
    from dataclasses import replace

    with pytest.raises(TypeTransformerFailedError, match="read back"):
        codec(Array).decode(replace(literal, ref=other), blobs)


SCALARS: list[tuple[Any, Any, str]] = [
    (int, numpy.int64(1), r"int\(value\)"),
    (float, numpy.float64(1), r"float\(value\)"),
    (float, numpy.float32(1), r"float\(value\)"),
    (bool, numpy.bool_(True), "bool"),
    (str, numpy.str_("a"), "str"),
]


@pytest.mark.parametrize(
    ("declared", "value", "hint"), SCALARS, ids=[str(t) for t, _, _ in SCALARS[:2]] + ["2", "3", "4"]
)
def test_a_numpy_scalar_is_not_a_python_value_and_the_error_says_how_to_make_it_one(declared, value, hint):
    with pytest.raises(TypeTransformerFailedError, match=hint):
        codec(declared).isolate(value)
