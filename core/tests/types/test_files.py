"""Files: kept by content, fetched when they are wanted, the same in a direct call and through literals."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, TypeVar

import fsspec
import hypothesis
import hypothesis.strategies as st
import pydantic
import pytest
from flytepath.errors import AmbiguousUnionError, DefinitionError, TypeTransformerFailedError
from flytepath.model.literal import Literal, canonical_json
from flytepath.model.types import LiteralType
from flytepath.testing import MemoryBlobs, TransformerConformance
from flytepath.types.engine import codec
from flytepath.types.file_formats import CSVFile, FileExt, PNGImageFile
from flytepath.types.files import FileTransformer, FlyteFile, from_text
from flytepath.types.transfers import FileAccessError, MissingFileError

csv = TypeVar("csv")


@pytest.fixture
def remote():
    """An empty remote folder, in memory."""
    files = fsspec.filesystem("memory")
    files.pipe("/bucket/x.csv", b"a,b\n1,2\n")
    yield files
    files.rm("/bucket", recursive=True)


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(b"a,b\n1,2\n")
    return path


class TestConformance(TransformerConformance):
    transformer = FileTransformer
    python_type = FlyteFile
    folder: Path

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        type(self).folder = tmp_path

    def values(self) -> list[Any]:
        import tempfile

        folder = getattr(type(self), "folder", None) or Path(tempfile.mkdtemp())
        contents = {"empty.txt": b"", "ä b.csv": b"x" * 3_000_000, "noise.bin": bytes(range(256)), "none": b"?"}
        made = []
        for name, content in contents.items():
            (folder / name).write_bytes(content)
            made.append(FlyteFile(folder / name))
        return made

    def equal(self, left: FlyteFile, right: FlyteFile) -> bool:
        same_name = Path(left).name == Path(right).name
        return same_name and Path(left).read_bytes() == Path(right).read_bytes()

    def mutate(self, value: FlyteFile) -> None:
        with Path(value).open("ab") as file:
            file.write(b"more")

    def invalid_values(self) -> list[Any]:
        return [1, None, b"x", "", FlyteFile("/nowhere/at/all"), FlyteFile(self.folder), PNGImageFile, "/none"]


def content(file: FlyteFile) -> bytes:
    with file.open("rb") as stream:
        return stream.read()


def text(file: FlyteFile) -> str:
    return content(file).decode()


# --- what is kept ------------------------------------------------------------------------------------------------


def test_a_received_file_has_the_name_and_the_bytes_and_comes_when_it_is_asked_for(round_trip, table):
    back = round_trip(FlyteFile, FlyteFile(table))
    assert not back.downloaded
    assert text(back) == "a,b\n1,2\n"
    assert not back.downloaded
    assert Path(back).name == "table.csv"
    assert back.downloaded
    assert back.path == str(back) == back.download() != str(table)


def test_what_is_downloaded_is_ones_own_and_may_be_changed(blobs, table):
    literal = codec(FlyteFile).encode(FlyteFile(table), blobs)
    first, second = (codec(FlyteFile).decode(literal, blobs) for _ in range(2))
    with Path(first).open("a") as file:
        file.write("3,4\n")
    assert Path(second).read_bytes() == content(first)[:8] == b"a,b\n1,2\n"


def test_the_digest_is_of_content_and_never_of_the_folder(blobs, tmp_path, table):
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "table.csv"
    moved.write_bytes(table.read_bytes())
    first, second = codec(FlyteFile).encode(table, blobs), codec(FlyteFile).encode(moved, blobs)
    assert first.digest == second.digest
    assert first.ref == second.ref
    moved.write_bytes(b"other")
    assert codec(FlyteFile).encode(moved, blobs).digest != first.digest


def test_a_file_passed_on_is_the_same_literal_without_a_copy(blobs, table):
    literal = codec(FlyteFile).encode(FlyteFile(table), blobs)
    received = codec(FlyteFile).decode(literal, blobs)
    assert codec(FlyteFile).encode(received, blobs) == literal
    other = MemoryBlobs()
    assert codec(FlyteFile).encode(received, other).digest == literal.digest
    assert content(codec(FlyteFile).decode(literal, other)) == table.read_bytes()


@pytest.mark.parametrize("given", [str, Path, FlyteFile, lambda path: path.as_uri()])
def test_paths_are_taken_for_files(round_trip, table, given):
    assert content(round_trip(FlyteFile, given(table))) == table.read_bytes()
    isolated = codec(FlyteFile).isolate(given(table))
    assert type(isolated) is FlyteFile
    assert content(isolated) == table.read_bytes()


def test_an_isolated_file_keeps_its_content_when_the_original_changes(table):
    isolated = codec(FlyteFile).isolate(table)
    table.write_bytes(b"overwritten")
    assert text(isolated) == "a,b\n1,2\n"
    again = codec(FlyteFile).isolate(isolated)
    with Path(isolated).open("w") as file:
        file.write("changed")
    assert Path(again).read_text() == "a,b\n1,2\n"


def test_the_copies_of_a_direct_call_end_with_the_last_one_who_has_them(table):
    isolated = codec(FlyteFile).isolate(table)
    kept = isolated._content.source.local_path(isolated._content.ref)
    again = codec(FlyteFile).isolate(isolated)
    del isolated
    assert kept.exists()
    del again
    assert not kept.exists()


@pytest.mark.parametrize("what", ["encode", "isolate"])
def test_a_missing_file_is_an_error_at_once(blobs, tmp_path, what):
    for given in (FlyteFile(tmp_path / "no.csv"), str(tmp_path / "no.csv")):
        with pytest.raises(MissingFileError, match=r"no\.csv") as caught:
            codec(FlyteFile).encode(given, blobs) if what == "encode" else codec(FlyteFile).isolate(given)
        assert isinstance(caught.value, FileNotFoundError)
        assert isinstance(caught.value, TypeError)
    with pytest.raises(TypeTransformerFailedError, match="no file") as refused:
        codec(FlyteFile).isolate(tmp_path)
    assert "FlyteDirectory" in (refused.value.hint or "")


def test_what_is_no_path_is_no_file():
    for wrong in (3, None, b"x.csv", ["x.csv"]):
        with pytest.raises(TypeTransformerFailedError, match="expected"):
            codec(FlyteFile).isolate(wrong)
    with pytest.raises(TypeTransformerFailedError):
        FlyteFile(3)  # type: ignore[arg-type]
    with pytest.raises(TypeTransformerFailedError, match="empty"):
        FlyteFile("")


def test_a_hostile_literal_cannot_leave_its_folder(blobs):
    ref = blobs.put(b"x")
    for name in ("../../etc/passwd", "/etc/passwd", "..", ".", "", "a\0b"):
        literal = Literal.make(LiteralType("file"), {"name": name}, format="file", ref=ref)
        path = Path(codec(FlyteFile).decode(literal, blobs))
        assert path.read_bytes() == b"x"
        assert ".." not in path.parts
        assert path.parts[:2] != ("/", "etc")


def test_a_literal_of_something_else_is_refused(blobs):
    with pytest.raises(TypeTransformerFailedError):
        codec(FlyteFile).decode(Literal.make(LiteralType("file"), {"name": "x"}, format="other"), blobs)
    with pytest.raises(TypeTransformerFailedError):
        codec(FlyteFile).decode(Literal.make(LiteralType("file"), {"name": "x"}, format="file"), blobs)


def test_metadata_travels_with_the_file(round_trip, table):
    assert round_trip(FlyteFile, FlyteFile(table, metadata={"author": "ä"})).metadata == {"author": "ä"}
    assert codec(FlyteFile).isolate(FlyteFile(table, metadata={"a": "b"})).metadata == {"a": "b"}


# --- formats -----------------------------------------------------------------------------------------------------


def test_a_format_is_one_class_however_it_is_written():
    assert FlyteFile["csv"] is FlyteFile[csv] is FlyteFile[".csv"] is CSVFile
    assert FlyteFile[Annotated[str, FileExt("csv")]] is CSVFile
    assert CSVFile.extension() == "csv"
    assert FlyteFile.extension() == ""
    assert FlyteFile[""] is FlyteFile
    assert str(codec(CSVFile).literal_type) == "file[csv]"
    with pytest.raises(DefinitionError):
        CSVFile["png"]
    with pytest.raises(DefinitionError):
        FlyteFile[3]


def test_a_file_of_another_format_is_refused_and_one_of_none_is_taken(round_trip, table):
    assert type(round_trip(CSVFile, FlyteFile(table))) is CSVFile
    assert type(codec(CSVFile).isolate(str(table))) is CSVFile
    assert type(codec(FlyteFile).isolate(CSVFile(table))) is FlyteFile
    for refuse in (codec(CSVFile).isolate, lambda value: codec(CSVFile).encode(value, MemoryBlobs())):
        with pytest.raises(TypeTransformerFailedError, match="csv"):
            refuse(PNGImageFile(table))


def test_a_literal_of_another_format_is_refused(blobs, table):
    literal = codec(CSVFile).encode(table, blobs)
    assert type(codec(FlyteFile).decode(literal, blobs)) is FlyteFile
    with pytest.raises(TypeTransformerFailedError, match="csv"):
        codec(PNGImageFile).decode(literal, blobs)


def test_a_class_of_ones_own_is_received_as_it_is_declared(round_trip, table):
    back = round_trip(Report, Report(table))
    assert type(back) is Report
    assert back.lines() == 2


class Report(FlyteFile):
    def lines(self) -> int:
        with self.open("r") as stream:
            return len(stream.readlines())


# --- elsewhere ---------------------------------------------------------------------------------------------------


def test_a_remote_file_is_passed_on_as_a_reference(blobs, remote):
    file = FlyteFile("memory://bucket/x.csv")
    assert file.path == "memory://bucket/x.csv"
    literal = codec(FlyteFile).encode(file, blobs)
    assert literal.ref is None
    assert not blobs.contents
    back = codec(FlyteFile).decode(literal, blobs)
    assert back.remote_source == "memory://bucket/x.csv"
    assert not back.downloaded
    assert content(back) == Path(back).read_bytes() == b"a,b\n1,2\n"
    assert Path(back).name == "x.csv"
    assert text(codec(FlyteFile).isolate("memory://bucket/x.csv")) == "a,b\n1,2\n"


def test_it_is_downloaded_once(remote, monkeypatch):
    file = FlyteFile.from_source("memory://bucket/x.csv")
    first = file.download()
    remote.pipe("/bucket/x.csv", b"changed")
    assert file.download() == file.path == first
    assert Path(file).read_bytes() == b"a,b\n1,2\n"


def test_the_digest_of_a_reference_changes_with_the_remote_file(blobs, remote):
    first = codec(FlyteFile).encode("memory://bucket/x.csv", blobs)
    assert codec(FlyteFile).encode("memory://bucket/x.csv", blobs).digest == first.digest
    remote.rm("/bucket/x.csv")
    remote.pipe("/bucket/x.csv", b"a,b\n1,3\n")
    assert codec(FlyteFile).encode("memory://bucket/x.csv", blobs).digest != first.digest


def test_nothing_at_a_uri_is_an_error(blobs):
    with pytest.raises(MissingFileError, match="memory://bucket/none"):
        codec(FlyteFile).encode("memory://bucket/none", blobs)
    for use in (FlyteFile.download, FlyteFile.open, os.fspath):
        with pytest.raises(FileNotFoundError, match="memory://bucket/none"):
            use(FlyteFile("memory://bucket/none"))


def test_a_scheme_without_a_driver_says_what_to_install(blobs, caplog):
    with pytest.raises(FileAccessError, match="nosuchscheme") as caught:
        FlyteFile("nosuchscheme://a/b").download()
    assert isinstance(caught.value, OSError)
    assert "install" in (caught.value.hint or "")
    literal = codec(FlyteFile).encode("nosuchscheme://a/b", blobs)
    assert literal.data["uri"] == "nosuchscheme://a/b"
    assert "nosuchscheme" in caplog.text


def test_remote_path_says_where_the_content_goes(blobs, remote, table):
    file = FlyteFile(table, remote_path="memory://bucket/kept/y.csv")
    literal = codec(FlyteFile).encode(file, blobs)
    assert remote.cat("/bucket/kept/y.csv") == table.read_bytes()
    assert not blobs.contents
    back = codec(FlyteFile).decode(literal, blobs)
    assert back.remote_source == "memory://bucket/kept/y.csv"
    assert Path(back).read_bytes() == table.read_bytes()
    assert codec(FlyteFile).encode(back, blobs).digest == literal.digest
    elsewhere = FlyteFile(table, remote_path="memory://bucket/kept/z.csv")
    assert codec(FlyteFile).encode(elsewhere, blobs).digest == literal.digest
    assert codec(FlyteFile).isolate(elsewhere).remote_source == "memory://bucket/kept/z.csv"


def test_a_file_overwritten_after_it_was_put_somewhere_is_noticed(blobs, remote, table):
    literal = codec(FlyteFile).encode(FlyteFile(table, remote_path="memory://bucket/y.csv"), blobs)
    remote.pipe("/bucket/y.csv", b"somebody else")
    with pytest.raises(FileAccessError, match="written over"):
        codec(FlyteFile).decode(literal, blobs).download()


def test_a_remote_file_is_copied_where_it_is_asked_for(blobs, remote):
    literal = codec(FlyteFile).encode(FlyteFile("memory://bucket/x.csv", remote_path="memory://bucket/c"), blobs)
    assert remote.cat("/bucket/c") == b"a,b\n1,2\n"
    assert literal.ref is not None


def test_remote_path_false_leaves_a_file_where_it_is(blobs, table):
    literal = codec(FlyteFile).encode(FlyteFile(table, remote_path=False), blobs)
    assert not blobs.contents
    assert codec(FlyteFile).decode(literal, blobs).path == str(table)
    assert codec(FlyteFile).isolate(FlyteFile(table, remote_path=False)).path == str(table)
    table.write_bytes(b"another")
    assert codec(FlyteFile).encode(FlyteFile(table, remote_path=False), blobs).digest != literal.digest
    table.unlink()
    with pytest.raises(MissingFileError) as caught:
        codec(FlyteFile).decode(literal, blobs)
    assert "remote_path=False" in (caught.value.hint or "")


def test_true_is_no_place(table):
    with pytest.raises(TypeTransformerFailedError):
        FlyteFile(table, remote_path=True)  # type: ignore[arg-type]


def test_a_cache_of_fsspec_can_be_read_through(remote, tmp_path):
    file = FlyteFile("memory://bucket/x.csv")
    with file.open("rb", cache_type="simplecache", cache_options={"cache_storage": str(tmp_path / "c")}) as stream:
        assert stream.read() == b"a,b\n1,2\n"
    assert list((tmp_path / "c").iterdir())


# --- writing -----------------------------------------------------------------------------------------------------


def test_new_files_are_written_and_kept(round_trip, remote):
    for made in (FlyteFile.new("deep/x.txt"), FlyteFile.new_remote_file("x.txt"), FlyteFile.new_remote_file()):
        with made.open("w") as out:
            out.write("grüße")
        assert text(round_trip(FlyteFile, made)) == "grüße"
    there = FlyteFile.new_remote_file("x.txt", alt="memory://bucket/new")
    with there.open("wb") as out:
        out.write(b"1")
    assert there.path == "memory://bucket/new/x.txt"
    assert remote.cat("/bucket/new/x.txt") == b"1"


def test_a_received_file_is_not_written_to(round_trip, table):
    back = round_trip(FlyteFile, table)
    for mode in ("w", "ab", "r+", "x"):
        with pytest.raises(TypeTransformerFailedError, match="not written to"):
            back.open(mode)


def test_a_downloader_runs_once_before_the_path_is_used(tmp_path):
    calls = []

    def bring() -> None:
        calls.append(1)
        (tmp_path / "late.txt").write_text("late")

    file = FlyteFile(tmp_path / "late.txt", downloader=bring)
    assert not file.downloaded
    isolated = codec(FlyteFile).isolate(file)
    assert text(isolated) == text(file) == "late"
    assert os.fspath(file) == str(tmp_path / "late.txt")
    assert calls == [1]


# --- inside other values -----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Experiment:
    name: str
    data: FlyteFile
    plots: list[PNGImageFile]
    extra: dict[str, FlyteFile | None] = dataclasses.field(default_factory=dict)


class Model(pydantic.BaseModel):
    weights: FlyteFile
    epochs: int = 1
    table: CSVFile | None = None


def test_files_nest_in_dataclasses_models_and_containers(round_trip, table):
    given = Experiment("a", FlyteFile(table), [FlyteFile(table)], {"x": FlyteFile(table), "y": None})
    back = round_trip(Experiment, given)
    assert text(back.data) == text(back.plots[0]) == text(back.extra["x"])
    assert type(back.plots[0]) is PNGImageFile
    assert back.extra["y"] is None
    model = round_trip(Model, Model(weights=table, table=str(table)))
    assert text(model.weights) == text(model.table) == "a,b\n1,2\n"
    assert type(model.table) is CSVFile
    isolated = codec(Experiment).isolate(given)
    table.write_text("changed")
    assert text(isolated.extra["x"]) == "a,b\n1,2\n"


def test_the_place_of_a_missing_file_is_its_path_in_the_value(table):
    bad = Experiment("a", FlyteFile(table), [FlyteFile(table), FlyteFile("/none.png")])
    with pytest.raises(MissingFileError) as caught:
        codec(Experiment).isolate(bad)
    assert caught.value.place == ".plots[1]"


def test_pydantic_takes_files_and_paths_and_nothing_else(table):
    assert Model.model_validate({"weights": {"path": str(table)}}).weights.path == str(table)
    assert Model(weights=table).model_dump() == {"weights": {"path": str(table)}, "epochs": 1, "table": None}
    assert Model.model_json_schema()["properties"]["weights"]["type"] == "string"
    with pytest.raises(pydantic.ValidationError):
        Model(weights=3)


def test_a_union_is_told_apart_by_the_class_before_anything_is_read(round_trip, table):
    assert round_trip(FlyteFile | str, "/no/such/file") == "/no/such/file"
    assert text(round_trip(FlyteFile | str, FlyteFile(table))) == "a,b\n1,2\n"
    assert round_trip(CSVFile | PNGImageFile | None, None) is None
    assert type(round_trip(CSVFile | PNGImageFile, PNGImageFile(table))) is PNGImageFile
    assert text(codec(FlyteFile | None).isolate(str(table))) == "a,b\n1,2\n"
    with pytest.raises(AmbiguousUnionError):
        codec(FlyteFile | CSVFile)


nested = st.recursive(
    st.one_of(st.none(), st.binary(max_size=50)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


@dataclasses.dataclass
class Tree:
    leaf: FlyteFile | None = None
    items: list[Tree] = dataclasses.field(default_factory=list)
    named: dict[str, Tree] = dataclasses.field(default_factory=dict)


@hypothesis.given(nested)
@hypothesis.settings(max_examples=40, deadline=None)
def test_nested_files_come_back_with_their_bytes(tmp_path_factory, shape):
    folder = tmp_path_factory.mktemp("leaves")
    count = iter(range(1000))

    def grown(part: Any) -> Tree:
        if isinstance(part, bytes):
            path = folder / f"{next(count)}"
            path.write_bytes(part)
            return Tree(FlyteFile(path))
        if isinstance(part, list):
            return Tree(items=[grown(item) for item in part])
        return Tree(named={key: grown(item) for key, item in (part or {}).items()})

    def seen(tree: Tree) -> Any:
        leaf = tree.leaf and content(tree.leaf)
        return leaf, [seen(item) for item in tree.items], [(key, seen(item)) for key, item in tree.named.items()]

    tree, blobs = grown(shape), MemoryBlobs()
    literal = codec(Tree).encode(tree, blobs)
    assert seen(codec(Tree).decode(literal, blobs)) == seen(tree) == seen(codec(Tree).isolate(tree))


def test_a_file_taken_out_of_a_list_is_the_literal_it_was(blobs, table):
    whole = codec(list[FlyteFile]).encode([FlyteFile(table)] * 2, blobs)
    assert whole.get((1,)) == codec(FlyteFile).encode(table, blobs)


# --- as a Python object ------------------------------------------------------------------------------------------


def test_copies_and_pickles_are_files_too(round_trip, table):
    back = round_trip(CSVFile, table)
    for other in (copy.copy(back), copy.deepcopy(back), pickle.loads(pickle.dumps(back))):
        assert type(other) is CSVFile
        assert Path(other).read_bytes() == table.read_bytes()
    assert copy.deepcopy(back) == back
    assert len({back, copy.copy(back), FlyteFile(table)}) == 2


def test_showing_a_file_fetches_nothing(remote):
    file = FlyteFile.from_source("memory://bucket/x.csv")
    assert repr(file) == "FlyteFile('memory://bucket/x.csv')"
    assert not file.downloaded
    assert codec(FlyteFile).summary(file)["name"] == "x.csv"
    assert not file.downloaded


def test_what_people_type_is_a_path_or_a_uri(table, monkeypatch):
    monkeypatch.setenv("HOME", str(table.parent))
    assert text(from_text(CSVFile, " ~/table.csv ")) == "a,b\n1,2\n"
    assert from_text(FlyteFile, "s3://b/x.csv").remote_source == "s3://b/x.csv"
    with pytest.raises(MissingFileError):
        from_text(FlyteFile, "~/none.csv")


def test_the_payload_is_small_and_plain(blobs, table):
    literal = codec(FlyteFile).encode(table, blobs)
    assert canonical_json(literal.data) == b'{"name":"table.csv"}'


def test_files_are_put_into_the_folder_of_the_attempt(round_trip, table, monkeypatch, tmp_path):
    monkeypatch.setattr("flytepath.types.attempt_folder.find", lambda: tmp_path)
    assert Path(round_trip(FlyteFile, table)).parent.parent == tmp_path
    assert FlyteFile.new("x.txt").path == str(tmp_path / "x.txt")
    monkeypatch.setattr("flytepath.types.attempt_folder.find", lambda: None)
    assert tmp_path not in Path(round_trip(FlyteFile, table)).parents


def test_many_threads_download_a_file_once(round_trip, table, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    back = round_trip(FlyteFile, table)
    fetched = []
    fetch = back._content.fetch
    monkeypatch.setattr(back._content, "fetch", lambda target: fetched.append(target) or fetch(target))
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: back.download(), range(32)))
    assert len(paths) == len(fetched) == 1


def test_a_child_that_ends_leaves_its_parents_files(tmp_path):
    script = """
import os, sys
from flytepath.types.engine import codec
from flytepath.types.files import FlyteFile
kept = codec(FlyteFile).isolate(sys.argv[1])
path = kept.download()
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
with kept.open("r") as given, open(path) as copy:
    print(given.read() == copy.read() == "x", path)
"""
    (tmp_path / "x").write_text("x")
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "x"], capture_output=True, text=True, timeout=60)
    told, _, path = done.stdout.strip().partition(" ")
    assert told == "True", done.stderr
    assert not Path(path).exists()
