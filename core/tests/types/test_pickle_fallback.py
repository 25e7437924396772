"""A class nobody declares is pickled: announced when it is declared, recorded in the interface, forbidden on demand."""

from __future__ import annotations

import dataclasses
import threading
import warnings
from typing import Any

import pytest
from flytepath.errors import ConfigError, DefinitionError, TypeTransformerFailedError
from flytepath.types.engine import PickleFallbackWarning, codec
from sample_types import Opaque


def fresh() -> type[Any]:
    """A class that was never announced before."""
    fresh.count += 1  # type: ignore[attr-defined]
    return type(f"Thing{fresh.count}", (Opaque,), {"__module__": __name__})  # type: ignore[attr-defined]


fresh.count = 0  # type: ignore[attr-defined]


def test_it_is_announced_when_the_type_is_declared_and_only_once():
    thing = fresh()
    with pytest.warns(PickleFallbackWarning, match=thing.__name__):
        codec(thing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codec(thing)
        codec(list[thing])


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: list[t], lambda t: dict[str, t | None]])
def test_it_is_recorded_wherever_it_is_inside(wrap):
    thing = fresh()
    with pytest.warns(PickleFallbackWarning):
        compiled = codec(wrap(thing))
    assert compiled.pickled
    assert '"kind": "opaque"' in str(compiled.literal_type.to_json()).replace("'", '"')
    assert not codec(dict[str, int]).pickled


def test_it_is_forbidden_by_the_environment(monkeypatch):
    known, unknown = fresh(), fresh()
    with pytest.warns(PickleFallbackWarning):
        codec(known)
    monkeypatch.setenv("FLYTEPATH_TYPES__ALLOW_PICKLE", "false")
    for thing in (known, unknown, list[known], Any):
        with pytest.raises(DefinitionError, match="pickled") as caught:
            codec(thing)
        assert "FLYTEPATH_TYPES__ALLOW_PICKLE" in str(caught.value.hint)
    assert codec(list[int]).pickled is False


def test_it_is_forbidden_by_the_configuration_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flytepath.toml").write_text("[types]\nallow_pickle = false\n")
    with pytest.raises(DefinitionError, match="pickled") as caught:
        codec(fresh())
    assert str(tmp_path / "flytepath.toml") in str(caught.value.hint)
    monkeypatch.setenv("FLYTEPATH_TYPES__ALLOW_PICKLE", "true")
    with pytest.warns(PickleFallbackWarning):
        codec(fresh())


def test_a_wrong_setting_names_the_nearest_key(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flytepath.toml").write_text("[types]\nallow_pickles = false\n")
    with pytest.raises(ConfigError, match="allow_pickles") as caught:
        codec(fresh())
    assert "'allow_pickle'" in str(caught.value.hint)


def test_values_come_back_alone_and_in_containers(round_trip):
    with pytest.warns(PickleFallbackWarning, match="sample_types.Opaque"):
        codec(Opaque)
    value = Opaque({"a": [1]})
    assert round_trip(Opaque, value) == value
    assert round_trip(dict[str, list[Opaque] | None], {"a": [value, Opaque(2)], "b": None})["a"][1].value == 2


def test_values_are_checked_and_copied():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = codec(Opaque)
    value = Opaque([1])
    compiled.isolate(value).value.append(2)
    assert value.value == [1]
    with pytest.raises(TypeTransformerFailedError, match=r"expected sample_types\.Opaque, got int"):
        compiled.isolate(1)


def test_what_cannot_be_pickled_says_so(blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = codec(Opaque)
    stuck = Opaque(threading.Lock())
    with pytest.raises(TypeTransformerFailedError, match="cannot be pickled"):
        compiled.encode(stuck, blobs)
    with pytest.raises(TypeTransformerFailedError, match="cannot be copied"):
        compiled.isolate(stuck)


def test_a_field_of_a_dataclass_may_be_pickled(round_trip):
    @dataclasses.dataclass
    class Holder:
        thing: Opaque

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert round_trip(Holder, Holder(Opaque(1))).thing == Opaque(1)
        assert codec(Holder).pickled
