from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import json
import math
import random
import shutil
import threading
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flytepath.authoring.checkpoint import Checkpoint, CheckpointError, CheckpointWarning
from flytepath.authoring.context import ExecutionContext, current_context, entered
from flytepath.authoring.task import task
from flytepath.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy")


class Phase(enum.Enum):
    WARM = "warm"


@dataclasses.dataclass
class Model:
    weights: list[float]
    phase: Phase = Phase.WARM
    parts: dict[str, int] = dataclasses.field(default_factory=dict)


class Point(NamedTuple):
    x: int
    y: float


class Opaque:
    pass


def there_and_back(state: Any, folder: Path) -> Any:
    Checkpoint(str(folder / "1")).save(state, step=1)
    later = Checkpoint(sources=[str(folder / "1")])
    found = later.load()
    assert later.step == 1
    return found


@pytest.mark.parametrize(
    "state",
    [
        {"epoch": 3, "losses": [0.1, 1e-300, math.inf], "name": "ü\ud800", "big": 2**80, "none": None, "flag": True},
        {1: "a", (2, "b"): [3], None: {}, 1.5: True},
        {"$": "dict", "of": {"$": "list"}},
        [],
        (),
        [(1, [2]), {3, 4}, frozenset({"x"})],
        b"",
        b"x" * 5000,
        bytearray(b"y" * 5000),
        3 + 4j,
        "just text",
        None,
        random.Random(7).getstate(),
        collections.OrderedDict([("b", 1), ("a", 2)]),
        Model([1.0, 2.0], Phase.WARM, {"a": 1}),
        {"inner": [Model([1.0])], "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "price": Decimal("1.10")},
        Point(1, 2.0),
        Phase.WARM,
    ],
    ids=lambda state: type(state).__name__,
)
def test_a_state_comes_back_as_it_was(state: Any, tmp_path: Path) -> None:
    found = there_and_back(state, tmp_path)
    assert found == state
    assert type(found) is type(state)


def test_order_and_kinds_of_keys_stay(tmp_path: Path) -> None:
    state = {"z": 1, "a": 2, "m": {"y": 1, "b": 2}}
    found = there_and_back(state, tmp_path)
    assert list(found) == ["z", "a", "m"] and list(found["m"]) == ["y", "b"]
    assert [type(key) for key in there_and_back({True: 1, 2: 2, 3.0: 3}, tmp_path)] == [bool, int, float]
    assert math.isnan(there_and_back([math.nan], tmp_path)[0])
    assert str(there_and_back(-0.0, tmp_path)) == "-0.0"


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.array([], dtype="float16"),
        np.array(["a", "bcd"]),
        np.array([1, 2], dtype="datetime64[D]"),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array(5),
    ],
)
def test_arrays_come_back_as_they_were(array: Any, tmp_path: Path) -> None:
    found = there_and_back({"w": array, "deep": [array]}, tmp_path)
    for one in (found["w"], found["deep"][0]):
        assert one.dtype == array.dtype and one.shape == array.shape
        assert one.flags.f_contiguous == array.flags.f_contiguous
        assert one.tobytes() == array.tobytes()


def test_numpy_numbers_keep_their_type(tmp_path: Path) -> None:
    state = {"a": np.float32(0.1), "b": np.int8(3), "c": np.bool_(True), "d": np.float64(2.5)}
    found = there_and_back(state, tmp_path)
    assert found == state
    assert [type(found[key]) for key in "abcd"] == [np.float32, np.int8, np.bool_, np.float64]


def test_a_generator_goes_on_where_it_was(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rng.random(10)
    other = np.random.default_rng()
    other.bit_generator.state = there_and_back(rng.bit_generator.state, tmp_path)
    assert other.random() == rng.random()


def test_a_path_comes_back_as_a_copy(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "empty" / "inner").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"12")
    file = tmp_path / "vocabulary.txt"
    file.write_text("a b")
    found = there_and_back({"model": folder, "vocabulary": file}, tmp_path / "place")
    assert found["model"].name == "model" and (found["model"] / "weights.bin").read_bytes() == b"12"
    assert (found["model"] / "empty" / "inner").is_dir()
    assert found["vocabulary"].name == "vocabulary.txt" and found["vocabulary"].read_text() == "a b"
    (found["model"] / "weights.bin").write_bytes(b"changed")
    later = Checkpoint(sources=[str(tmp_path / "place" / "1")])
    assert (later.load()["model"] / "weights.bin").read_bytes() == b"12", "what is loaded is the attempt's own"
    later.close()


def test_flytekits_doors_see_typed_saves_and_the_other_way_round(tmp_path: Path) -> None:
    one, two, three = (str(tmp_path / name) for name in "123")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w").write_bytes(b"1")
    Checkpoint(one).save(b"raw", step=1)
    assert Checkpoint(sources=[one]).read() == b"raw"
    assert (Checkpoint(sources=[one]).restore(tmp_path / "raw") / "checkpoint").read_bytes() == b"raw"  # type: ignore[operator]
    Checkpoint(two).save(folder, step=1)
    assert (Checkpoint(sources=[two]).restore(tmp_path / "back") / "w").read_bytes() == b"1"  # type: ignore[operator]
    Checkpoint(three).save(folder)
    loaded = Checkpoint(sources=[three])
    assert (loaded.load() / "w").read_bytes() == b"1" and loaded.step is None
    Checkpoint(three).save(folder / "w")
    assert Checkpoint(sources=[three]).load().name == "w"
    Checkpoint(three).save({"a": 1}, step=2)
    for door in ("read", "restore"):
        with pytest.raises(CheckpointError, match=r"load\(\)"):
            getattr(Checkpoint(sources=[three]), door)()


def test_what_cannot_be_kept_is_told_with_the_path_to_it(tmp_path: Path) -> None:
    checkpoint = Checkpoint(str(tmp_path / "place"))

    class Local:
        pass

    cases: list[tuple[Any, str, str]] = [
        ({"a": [1, Opaque()]}, "pickle", "state['a'][1]"),
        ({"a": Local()}, "could not find this class", "state['a']"),
        ({"w": np.array([object()])}, "Python objects", "state['w']"),
        ([tmp_path / "nowhere"], "nothing to save", "state[0]"),
        ({"f": lambda: None}, "function", "state['f']"),
        ({3: {Opaque(): 1}}, "pickle", "state[3]"),
        (Model(["x"]), "float", "state.weights[0]"),  # type: ignore[list-item]
    ]
    for state, message, place in cases:
        with pytest.raises(CheckpointError, match=message) as caught:
            checkpoint.save(state, step=1)
        assert place in str(caught.value.place)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(CheckpointError, match="contains itself"):
        checkpoint.save(endless, step=1)
    assert not list((tmp_path / "place").iterdir()), "nothing is left of what could not be saved"
    for step in (-1, True, 1.5, "3"):
        with pytest.raises(InputError, match="whole number"):
            checkpoint.save({}, step=step)  # type: ignore[arg-type]
    for last in (0, -1, True, None):
        with pytest.raises(InputError, match="at least one"):
            checkpoint.keep(last)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="without a step") as told:
        checkpoint.save({"a": 1})  # type: ignore[call-overload]
    assert "step=" in str(told.value.hint)
    checkpoint.save({}, step=np.int64(3))
    assert checkpoint.step == 3


def test_a_class_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Checkpoint(str(tmp_path)).save({"m": Model([1.0])}, step=1)
    monkeypatch.delattr(f"{__name__}.Model")
    with pytest.raises(CheckpointError, match="not there") as caught:
        Checkpoint(sources=[str(tmp_path)]).load()
    assert caught.value.place == "state['m']"


def test_an_attempt_sees_its_own_saves_first(tmp_path: Path) -> None:
    Checkpoint(str(tmp_path / "1")).save("old", step=50)
    second = Checkpoint(str(tmp_path / "2"), sources=[str(tmp_path / "1")])
    assert second.step == 50
    assert (second.load(), second.step) == ("old", 50)
    second.save("new", step=3)
    assert (second.load(), second.step) == ("new", 3)
    assert second.prev_exists()
    second.save("back", step=2)
    assert second.load() == "back", "a loop that went back saved it last"
    third = Checkpoint(sources=[str(tmp_path / name) for name in "21"])
    assert (third.load(), third.step) == ("back", 2)


def test_damage_leads_to_the_save_before_over_all_attempts(tmp_path: Path) -> None:
    Checkpoint(str(tmp_path / "recovered")).save("r", step=1)
    first = Checkpoint(str(tmp_path / "1"))
    first.save("a", step=1)
    first.save("b", step=2)
    sources = [str(tmp_path / name) for name in ("2", "1", "recovered")]
    torn = tmp_path / "2" / ".saving-0123"
    torn.mkdir(parents=True)
    (torn / "weights").write_bytes(b"half")
    expected = ["b", "a", "r", None]
    for value in expected:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert Checkpoint(sources=sources).load() == value
        told = [str(item.message) for item in caught if item.category is CheckpointWarning]
        assert ".saving-0123 is passed over: it was being written" in told[0]
        assert len(told) == len(caught) == 1 + expected.index(value)
        for folder in ("1", "recovered"):
            whole = [save for save in sorted((tmp_path / folder).iterdir(), reverse=True) if _is_whole(save)]
            if whole:
                state = whole[0] / "data" / "state.json"
                state.write_bytes(state.read_bytes().replace(b'"', b"'"))
                break


def _is_whole(save: Path) -> bool:
    return b'"' in (save / "data" / "state.json").read_bytes()


def test_this_attempts_own_damaged_save_is_passed_over_too(tmp_path: Path) -> None:
    checkpoint = Checkpoint(str(tmp_path))
    checkpoint.save("a", step=1)
    checkpoint.save("b", step=2)
    shutil.rmtree(tmp_path / "000000000002-000002" / "data")
    with pytest.warns(CheckpointWarning, match="missing"):
        assert checkpoint.load() == "a"
    assert checkpoint.step == 1


def test_a_manifest_cannot_lead_out_of_its_save(tmp_path: Path) -> None:
    from flytepath.authoring.saves.save import _sealed

    checkpoint = Checkpoint(str(tmp_path / "1"))
    checkpoint.save("a", step=1)
    (tmp_path / "secret").write_text("x")
    manifest = next((tmp_path / "1").glob("*/manifest.json"))
    body = json.loads(manifest.read_text())["checkpoint"]
    body["files"][0]["name"] = "../../../secret"
    manifest.write_text(_sealed(body))
    with pytest.warns(CheckpointWarning, match="a file named"):
        assert Checkpoint(sources=[str(tmp_path / "1")]).load() is None


def test_a_newer_format_is_passed_over(tmp_path: Path) -> None:
    from flytepath.authoring.saves.save import _sealed

    Checkpoint(str(tmp_path)).save("a", step=1)
    manifest = next(tmp_path.glob("*/manifest.json"))
    body = json.loads(manifest.read_text())["checkpoint"]
    manifest.write_text(_sealed({**body, "format": 9}))
    with pytest.warns(CheckpointWarning, match="format 9"):
        assert Checkpoint(sources=[str(tmp_path)]).load() is None


def test_what_the_version_before_wrote_is_read(tmp_path: Path) -> None:
    import hashlib

    data = tmp_path / "data-00ff"
    data.mkdir()
    (data / "checkpoint").write_bytes(b"epoch 3")
    file = ["checkpoint", 7, hashlib.sha256(b"epoch 3").hexdigest()]
    body = json.dumps({"format": 1, "kind": "bytes", "data": "data-00ff", "files": [file], "folders": []}).encode()
    manifest = tmp_path / "checkpoint.json"
    manifest.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    assert Checkpoint(sources=[str(tmp_path)]).read() == b"epoch 3"
    assert Checkpoint(sources=[str(tmp_path)]).load() == b"epoch 3"
    Checkpoint(str(tmp_path)).write(b"epoch 4")
    assert Checkpoint(sources=[str(tmp_path)]).read() == b"epoch 4"
    (data / "checkpoint").write_bytes(b"epoch 9")
    shutil.rmtree(next(tmp_path.glob("unnumbered-*")))
    with pytest.warns(CheckpointWarning, match="not as it was written"):
        assert Checkpoint(sources=[str(tmp_path)]).read() is None


def test_the_last_saves_over_all_attempts_are_kept(tmp_path: Path) -> None:
    def saves(name: str) -> list[str]:
        return sorted(path.name[:12].lstrip("0") for path in (tmp_path / name).iterdir())

    first = Checkpoint(str(tmp_path / "1"))
    for step in range(1, 5):
        first.save(step, step=step)
    assert saves("1") == ["2", "3", "4"]
    (tmp_path / "1" / ".saving-torn").mkdir()
    second = Checkpoint(str(tmp_path / "2"), sources=[str(tmp_path / "1")], attempt=2)
    second.save(5, step=5)
    assert (saves("1"), saves("2")) == (["3", "4"], ["5"])
    second.save(6, step=6, keep=1)
    assert (saves("1"), saves("2")) == ([], ["6"])
    second.keep(last=2)
    for step in (7, 8, 9):
        second.save(step, step=step)
    assert saves("2") == ["8", "9"]


def test_what_this_attempt_started_from_stays_while_it_runs(tmp_path: Path) -> None:
    Checkpoint(str(tmp_path / "1")).write(b"1")
    second = Checkpoint(str(tmp_path / "2"), sources=[str(tmp_path / "1")], attempt=2)
    assert second.read() == b"1"
    for number in range(5):
        second.write(bytes([number]))
    assert second.read() == b"1"


def test_another_executions_saves_are_never_removed(tmp_path: Path) -> None:
    other = tmp_path / "other" / "1"
    Checkpoint(str(other)).save("theirs", step=1)
    mine = Checkpoint(str(tmp_path / "mine" / "2"), sources=[str(other)], attempt=2)
    for step in range(5):
        mine.save(step, step=step)
    assert Checkpoint(sources=[str(other)]).load() == "theirs"


def test_states_live_elsewhere_too(tmp_path: Path) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    try:
        first = Checkpoint("memory://states/1")
        first.save({"w": np.arange(3), "m": Model([1.0])}, step=1)
        first.save({"w": np.arange(4)}, step=2)
        sources = ["memory://states/2", "memory://states/1"]
        assert Checkpoint(sources=sources).load()["w"].size == 4
        newest = "/states/1/000000000002-000002"
        files.rm_file(f"{newest}/manifest.json")
        with pytest.warns(CheckpointWarning, match="no manifest"):
            found = Checkpoint(sources=sources).load()
        assert found["m"] == Model([1.0]) and list(found["w"]) == [0, 1, 2]
        second = Checkpoint(sources[0], sources=sources[1:], attempt=2)
        with pytest.warns(CheckpointWarning):
            assert second.load()["w"].size == 3
        for step in range(5):
            second.save(step, step=step)
        assert len(files.ls("/states/2")) == 3
    finally:
        files.store.clear()
        files.pseudo_dirs[:] = [""]


def test_a_full_disk_leaves_the_save_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flytepath.authoring.saves import save as saves

    checkpoint = Checkpoint(str(tmp_path))
    checkpoint.save("a", step=1)

    def full(path: Path) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saves, "digest_of", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save("b", step=2)
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 1
    assert checkpoint.load() == "a" and checkpoint.step == 1


def test_two_writers_of_one_folder_do_not_lose_a_save(tmp_path: Path) -> None:
    writers = [Checkpoint(str(tmp_path)) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda w=w: [w.save(step, step=step, keep=100) for step in range(5)]) for w in writers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(path.name[:12]) for path in tmp_path.iterdir()) == sorted([*range(5)] * 4)


def test_in_a_direct_call_checkpoints_work_and_are_forgotten() -> None:
    places: list[Path] = []

    @task
    def train(x: int) -> int:
        checkpoint = current_context().checkpoint
        assert checkpoint.load() is None and checkpoint.step is None
        for step in range(5):
            checkpoint.save({"x": x, "at": step}, step=step)
        assert checkpoint.load() == {"x": x, "at": 4}
        assert checkpoint.step == 4
        places.append(checkpoint._root_scratch())
        return x

    assert train(x=1) == train(x=1) == 1
    assert not any(place.exists() for place in places)


def test_the_context_passes_all_earlier_attempts_on(tmp_path: Path) -> None:
    folders = tuple(str(tmp_path / name) for name in "321")
    with entered(ExecutionContext(checkpoint_destination=folders[2])) as context:
        context.checkpoint.save([1], step=1)
    with entered(
        ExecutionContext(checkpoint_sources=folders[1:], checkpoint_destination=folders[0], attempt=3)
    ) as context:
        assert context.checkpoint.load() == [1]
        context.checkpoint.save([2], step=2)
    assert json.loads(next((tmp_path / "3").glob("*/manifest.json")).read_text())["checkpoint"]["attempt"] == 3


def test_an_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(str(tmp_path))

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flytepath.authoring.saves.save._sealed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save("b", step=2)
    assert list(tmp_path.iterdir()) == []


_states = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(_states)
@settings(max_examples=60, deadline=None)
def test_any_tree_comes_back(state: Any) -> None:
    with entered(ExecutionContext()) as context:
        context.checkpoint.save(state, step=0)
        found = context.checkpoint.load()
        assert found == state and repr(found) == repr(state)


def test_files_that_were_loaded_outlive_the_body_of_a_durable_attempt(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"weights")
    places = {"checkpoint_destination": str(tmp_path / "c" / "2"), "checkpoint_sources": (str(tmp_path / "c" / "1"),)}
    Checkpoint(str(tmp_path / "c" / "1")).save(tmp_path / "model", step=1)
    former = tmp_path / "work" / "1-checkpoint"
    former.mkdir(parents=True)
    with entered(ExecutionContext(attempt=2, working_directory=tmp_path / "work" / "2", **places)) as context:  # type: ignore[arg-type]
        found = context.checkpoint.load()
        assert list(context.working_directory.iterdir()) == [], "the attempt's own folder is empty"
    assert found.read_bytes() == b"weights" and (tmp_path / "work") in found.parents
    assert not former.exists()
