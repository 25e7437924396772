"""Directories: a manifest of blobs, files that come one by one or together, the same content with the same digest."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
from pathlib import Path
from typing import Annotated, Any

import fsspec
import hypothesis
import hypothesis.strategies as st
import pytest
from flytepath.errors import AmbiguousUnionError, DefinitionError, TypeTransformerFailedError
from flytepath.model.literal import Literal
from flytepath.model.types import LiteralType
from flytepath.testing import MemoryBlobs, TransformerConformance
from flytepath.types import transfers
from flytepath.types.directories import BatchSize, DirectoryTransformer, FlyteDirectory, from_text
from flytepath.types.engine import codec
from flytepath.types.file_formats import TensorboardLogs, TFRecordsDirectory
from flytepath.types.files import FlyteFile
from flytepath.types.transfers import FileAccessError, MissingFileError


def tree(folder: Path | str | FlyteDirectory) -> dict[str, bytes | None]:
    """What is in a folder: the bytes of files, ``None`` for empty folders."""
    found: dict[str, bytes | None] = {}
    for place in sorted(Path(folder).rglob("*")):
        if place.is_file():
            found[str(place.relative_to(folder))] = place.read_bytes()
        elif not any(place.iterdir()):
            found[str(place.relative_to(folder))] = None
    return found


def planted(folder: Path, content: dict[str, bytes | None]) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    for path, data in content.items():
        place = folder / path
        if data is None:
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    return folder


CONTENT = {
    "a.txt": b"a",
    "b/deep/c.bin": bytes(range(256)),
    "b/deep/empty": None,
    "b/same.txt": b"a",
    "big.bin": b"x" * 700_000,
    "grüße/日本.txt": b"unicode",
    "no-content": b"",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    return planted(tmp_path / "given", CONTENT)


@pytest.fixture
def remote():
    files = fsspec.filesystem("memory")
    for path, data in CONTENT.items():
        if data is not None:
            files.pipe(f"/shelf/d/{path}", data)
    yield files
    files.rm("/shelf", recursive=True)


class TestConformance(TransformerConformance):
    transformer = DirectoryTransformer
    python_type = FlyteDirectory
    folder: Path

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        type(self).folder = tmp_path

    def values(self) -> list[Any]:
        import tempfile

        samples: list[dict[str, bytes | None]] = [{}, {"x": b"1"}, {"y": b"1"}, {"x": None}, CONTENT]
        return [FlyteDirectory(planted(Path(tempfile.mkdtemp()), sample)) for sample in samples]

    def equal(self, left: FlyteDirectory, right: FlyteDirectory) -> bool:
        return tree(left) == tree(right)

    def mutate(self, value: FlyteDirectory) -> None:
        Path(value, "more").write_text("more")

    def invalid_values(self) -> list[Any]:
        return [1, None, b"x", "", FlyteDirectory("/nowhere/at/all"), __file__, FlyteFile(__file__)]


# --- what is kept ------------------------------------------------------------------------------------------------


def test_a_directory_comes_back_with_everything_in_it(round_trip, folder):
    back = round_trip(FlyteDirectory, FlyteDirectory(folder))
    assert not back.downloaded
    assert tree(back) == tree(folder) == CONTENT
    assert back.downloaded
    assert str(back) == back.path == os.fspath(back)


@pytest.mark.parametrize("given", [str, Path, FlyteDirectory, lambda path: path.as_uri()])
def test_paths_are_taken_for_directories(round_trip, folder, given):
    assert tree(round_trip(FlyteDirectory, given(folder))) == CONTENT
    assert tree(codec(FlyteDirectory).isolate(given(folder))) == CONTENT


def test_equal_content_has_one_digest_wherever_it_lies(blobs, folder, tmp_path):
    other = planted(tmp_path / "other", dict(reversed(CONTENT.items())))
    first, second = codec(FlyteDirectory).encode(folder, blobs), codec(FlyteDirectory).encode(other, blobs)
    assert first == second
    for change in (lambda: (other / "a.txt").write_bytes(b"b"), (other / "new").mkdir):
        before = codec(FlyteDirectory).encode(other, blobs).digest
        change()
        assert codec(FlyteDirectory).encode(other, blobs).digest != before
    (other / "b" / "same.txt").rename(other / "b" / "renamed.txt")
    assert codec(FlyteDirectory).encode(other, blobs).digest != before


def test_the_right_to_execute_is_kept(round_trip, folder):
    (folder / "a.txt").chmod(0o755)
    back = Path(round_trip(FlyteDirectory, folder))
    assert os.access(back / "a.txt", os.X_OK)
    assert not (back / "no-content").stat().st_mode & 0o111


def test_links_stand_for_what_they_lead_to(round_trip, folder, tmp_path):
    (tmp_path / "outside.txt").write_text("outside")
    (folder / "to-file").symlink_to(tmp_path / "outside.txt")
    (folder / "to-folder").symlink_to("b")
    back = Path(round_trip(FlyteDirectory, folder))
    assert (back / "to-file").read_text() == "outside"
    assert (back / "to-folder" / "same.txt").read_bytes() == b"a"
    assert not any(place.is_symlink() for place in back.rglob("*"))


def test_links_to_nothing_and_in_circles_are_errors(folder):
    (folder / "b" / "circle").symlink_to(folder)
    with pytest.raises(TypeTransformerFailedError, match="around it") as caught:
        codec(FlyteDirectory).isolate(folder)
    assert caught.value.place == "['b/circle']"
    (folder / "b" / "circle").unlink()
    (folder / "broken").symlink_to("nowhere")
    with pytest.raises(TypeTransformerFailedError, match="no file or folder") as caught:
        codec(FlyteDirectory).isolate(folder)
    assert caught.value.place == "['broken']"


def test_what_is_neither_file_nor_text_is_refused(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(TypeTransformerFailedError, match="neither a file nor a folder"):
        codec(FlyteDirectory).isolate(folder)
    (folder / "pipe").unlink()
    Path(os.fsdecode(bytes(folder) + b"/\xff")).write_text("x")
    with pytest.raises(TypeTransformerFailedError, match="UTF-8"):
        codec(FlyteDirectory).isolate(folder)


def test_a_missing_directory_is_an_error_at_once(tmp_path, folder):
    with pytest.raises(MissingFileError):
        codec(FlyteDirectory).isolate(tmp_path / "none")
    with pytest.raises(TypeTransformerFailedError, match="no directory") as caught:
        codec(FlyteDirectory).isolate(folder / "a.txt")
    assert "FlyteFile" in (caught.value.hint or "")


def test_an_isolated_directory_keeps_its_content(folder):
    isolated = codec(FlyteDirectory).isolate(folder)
    (folder / "a.txt").write_text("changed")
    Path(codec(FlyteDirectory).isolate(isolated), "b", "same.txt").write_text("changed")
    assert tree(isolated) == CONTENT


def test_a_directory_passed_on_is_the_same_literal(blobs, folder):
    literal = codec(FlyteDirectory).encode(folder, blobs)
    back = codec(FlyteDirectory).decode(literal, blobs)
    assert codec(FlyteDirectory).encode(back, blobs) == literal
    other = MemoryBlobs()
    assert codec(FlyteDirectory).encode(back, other).digest == literal.digest
    assert tree(codec(FlyteDirectory).decode(literal, other)) == CONTENT


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", "a//b", ".", "a\0b"])
def test_a_hostile_manifest_cannot_leave_its_folder(blobs, path):
    digest = blobs.put(b"evil").digest
    import json

    ref = blobs.put(json.dumps({"entries": [{"path": path, "digest": digest, "size": 4}]}).encode())
    literal = Literal.make(LiteralType("directory"), {}, format="directory", ref=ref)
    with pytest.raises(TypeTransformerFailedError, match="read back"):
        codec(FlyteDirectory).decode(literal, blobs).download()


@pytest.mark.parametrize("manifest", [b"", b"{}", b'{"entries":[3]}', b'{"entries":[{"path":"x"}]}', b"\xff"])
def test_a_damaged_manifest_is_an_error(blobs, manifest):
    literal = Literal.make(LiteralType("directory"), {}, format="directory", ref=blobs.put(manifest))
    with pytest.raises(TypeTransformerFailedError, match="read back"):
        codec(FlyteDirectory).decode(literal, blobs).download()


names = st.text("aä/.", min_size=1, max_size=6).map(lambda name: "/".join(p for p in name.split("/") if p.strip(".")))


@hypothesis.given(st.dictionaries(names.filter(bool), st.binary(max_size=20), max_size=6))
@hypothesis.settings(max_examples=40, deadline=None)
def test_any_tree_comes_back(tmp_path_factory, content):
    whole: dict[str, bytes | None] = {}
    for path, data in content.items():  # a name is a file or a folder, not both
        parents = ["/".join(path.split("/")[:n]) for n in range(1, path.count("/") + 1)]
        if not any(parent in whole for parent in parents) and not any(k.startswith(f"{path}/") for k in whole):
            whole[path] = data
    folder, blobs = planted(tmp_path_factory.mktemp("t") / "f", whole), MemoryBlobs()
    literal = codec(FlyteDirectory).encode(folder, blobs)
    assert tree(codec(FlyteDirectory).decode(literal, blobs)) == tree(folder) == whole


# --- file by file ------------------------------------------------------------------------------------------------


class Counting(MemoryBlobs):
    """Blobs that count what is read of them."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []

    def get(self, ref: Any) -> bytes:
        self.read.append(ref.size)
        return super().get(ref)


def test_a_listed_file_comes_without_the_others(folder):
    blobs = Counting()
    back = codec(FlyteDirectory).decode(codec(FlyteDirectory).encode(folder, blobs), blobs)
    assert not blobs.read
    listed = FlyteDirectory.listdir(back)
    kinds = [type(item).__name__ for item in listed]
    assert kinds == ["FlyteFile", "FlyteDirectory", "FlyteFile", "FlyteDirectory", "FlyteFile"]
    assert len(blobs.read) == 1
    with listed[0].open("r") as stream:
        assert stream.read() == "a"
    assert max(blobs.read) < 10_000
    inner = FlyteDirectory.listdir(listed[1])
    assert [Path(item._name).name for item in inner] == ["deep", "same.txt"]
    assert tree(inner[0]) == {"c.bin": CONTENT["b/deep/c.bin"], "empty": None}
    assert not back.downloaded


def test_a_part_of_a_directory_can_be_passed_on(blobs, folder):
    back = codec(FlyteDirectory).decode(codec(FlyteDirectory).encode(folder, blobs), blobs)
    file, inner = FlyteDirectory.listdir(back)[:2]
    for store in (blobs, MemoryBlobs()):
        literal = codec(FlyteFile).encode(file, store)
        assert literal == codec(FlyteFile).encode(folder / "a.txt", store)
        assert literal.ref is not None
        assert literal.ref.uri.endswith(literal.ref.digest.partition(":")[2])
        part = codec(FlyteDirectory).encode(inner, store)
        assert part == codec(FlyteDirectory).encode(folder / "b", store)
        assert tree(codec(FlyteDirectory).decode(part, store)) == tree(folder / "b")
    assert tree(codec(FlyteDirectory).isolate(inner)) == tree(folder / "b")
    assert repr(file) == "FlyteFile('a.txt')"
    assert file.remote_source is None


def test_crawling_brings_one_file_at_a_time(folder):
    blobs = Counting()
    back = codec(FlyteDirectory).decode(codec(FlyteDirectory).encode(folder, blobs), blobs)
    crawled = back.crawl()
    base, path = next(crawled)
    assert Path(base, path).read_bytes() == b"a"
    assert max(blobs.read) < 10_000
    rest = [path] + [path for _, path in crawled]
    assert rest == [path for path, data in CONTENT.items() if data is not None]
    assert all(Path(base, path).read_bytes() == CONTENT[path] for path in rest)
    assert tree(back) == CONTENT


@pytest.mark.parametrize("state", ["local", "kept", "remote", "downloaded"])
def test_all_directories_are_walked_alike(round_trip, folder, remote, state):
    if state == "remote":
        directory = FlyteDirectory("memory://shelf/d")
    else:
        directory = FlyteDirectory(folder) if state == "local" else round_trip(FlyteDirectory, folder)
    if state == "downloaded":
        directory.download()
    files = [path for path, data in CONTENT.items() if data is not None]
    assert [path for _, path in directory.crawl()] == files
    assert [path for _, path in directory.crawl(topdown=False)] == files[::-1]
    assert [path for _, path in directory.crawl(maxdepth=1)] == ["a.txt", "big.bin", "no-content"]
    base, facts = next(iter(directory.crawl(detail=True)))
    assert facts == {"a.txt": {"name": f"{base}/a.txt", "size": 1, "type": "file"}}
    assert [Path(item._shown if item._given else item._name).name for item in FlyteDirectory.listdir(directory)] == [
        "a.txt",
        "b",
        "big.bin",
        "grüße",
        "no-content",
    ]
    with pytest.raises(TypeTransformerFailedError):
        list(directory.crawl(maxdepth=0))


# --- elsewhere ---------------------------------------------------------------------------------------------------


def test_a_remote_directory_is_a_reference(blobs, remote):
    literal = codec(FlyteDirectory).encode("memory://shelf/d", blobs)
    assert not blobs.contents
    back = codec(FlyteDirectory).decode(literal, blobs)
    assert back.remote_source == "memory://shelf/d"
    assert tree(back) == {path: data for path, data in CONTENT.items() if data is not None}
    assert codec(FlyteDirectory).encode(back, blobs).digest == literal.digest
    remote.rm("/shelf/d/a.txt")
    assert codec(FlyteDirectory).encode("memory://shelf/d", blobs).digest != literal.digest


def test_nothing_there_is_an_error(blobs):
    with pytest.raises(MissingFileError, match="memory://shelf/none"):
        codec(FlyteDirectory).encode("memory://shelf/none", blobs)
    for use in (FlyteDirectory.download, FlyteDirectory.listdir, lambda d: list(d.crawl())):
        with pytest.raises(FileNotFoundError, match="memory://shelf/none"):
            use(FlyteDirectory("memory://shelf/none"))
    with pytest.raises(FileAccessError, match="nosuchscheme"):
        FlyteDirectory("nosuchscheme://x/y").download()


def test_remote_directory_says_where_the_content_goes(blobs, remote, folder):
    literal = codec(FlyteDirectory).encode(FlyteDirectory(folder, remote_directory="memory://shelf/out"), blobs)
    assert remote.cat("/shelf/out/b/deep/c.bin") == CONTENT["b/deep/c.bin"]
    assert not blobs.contents
    back = codec(FlyteDirectory).decode(literal, blobs)
    assert back.remote_source == "memory://shelf/out"
    assert tree(back) == CONTENT
    other = codec(FlyteDirectory).encode(FlyteDirectory(folder, remote_directory="memory://shelf/two"), blobs)
    assert other.digest == literal.digest
    isolated = codec(FlyteDirectory).isolate(FlyteDirectory(folder, remote_directory="memory://shelf/three"))
    assert isolated.remote_source == "memory://shelf/three"


def test_false_leaves_a_directory_where_it_is(blobs, folder):
    given = FlyteDirectory(folder, remote_directory=False)
    literal = codec(FlyteDirectory).encode(given, blobs)
    assert not blobs.contents
    assert codec(FlyteDirectory).decode(literal, blobs).path == codec(FlyteDirectory).isolate(given).path == str(folder)
    (folder / "a.txt").write_text("another")
    assert codec(FlyteDirectory).encode(given, blobs).digest != literal.digest
    folder.rename(folder.with_name("gone"))
    with pytest.raises(MissingFileError):
        codec(FlyteDirectory).decode(literal, blobs)


# --- writing -----------------------------------------------------------------------------------------------------


def test_new_directories_are_filled_and_kept(round_trip, remote):
    for made in (FlyteDirectory.new("fresh/d"), FlyteDirectory.new_remote("d"), FlyteDirectory.new_remote()):
        with made.new_file("deep/x.txt").open("w") as out:
            out.write("x")
        with made.new_dir("inner").new_file("y.txt").open("w") as out:
            out.write("y")
        assert tree(round_trip(FlyteDirectory, made)) == {"deep/x.txt": b"x", "inner/y.txt": b"y"}
    there = FlyteDirectory.new_remote("d", alt="memory://shelf/new")
    with there.new_dir("inner").new_file("x.txt").open("w") as out:
        out.write("x")
    assert remote.cat("/shelf/new/d/inner/x.txt") == b"x"
    assert there.sep == "/"


def test_a_received_directory_is_not_written_to(round_trip, folder):
    back = round_trip(FlyteDirectory, folder)
    for make in (back.new_file, back.new_dir):
        with pytest.raises(TypeTransformerFailedError, match="not written to"):
            make("x")


# --- how many at once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 3])
def test_batch_size_bounds_what_is_transferred_at_once(monkeypatch, tmp_path, at_once):
    import threading

    class Store(MemoryBlobs):
        def __init__(self) -> None:
            super().__init__()
            self.now, self.most, self.lock = 0, 0, threading.Lock()
            self.meet = threading.Barrier(at_once)

        def put(self, content: bytes) -> Any:
            if not content.startswith(b"part"):
                return super().put(content)
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            self.meet.wait(10)
            with self.lock:
                self.now -= 1
            return super().put(content)

    store = Store()
    folder = planted(tmp_path / "p", {f"{n}": b"part%d" % n for n in range(6)})
    t = Annotated[FlyteDirectory, BatchSize(at_once)]
    literal = codec(t).encode(folder, store)
    assert store.most == at_once
    assert literal == codec(FlyteDirectory).encode(folder, MemoryBlobs())
    asked: list[int] = []
    spied = transfers.in_parallel
    monkeypatch.setattr(
        "flytepath.types.directories.in_parallel", lambda f, rows, n: asked.append(n) or spied(f, rows, n)
    )
    codec(list[t]).decode(codec(list[t]).encode([folder], MemoryBlobs()), store)[0].download()
    assert asked == [at_once]


def test_a_batch_size_is_a_number_from_one():
    for wrong in (0, -1, True, 1.5, "3"):
        with pytest.raises(DefinitionError):
            BatchSize(wrong)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError):
        codec(Annotated[FlyteDirectory, BatchSize(1), BatchSize(2)])


def test_an_error_in_one_file_ends_the_transfer(folder):
    class Full(MemoryBlobs):
        def put_file(self, path: Path) -> Any:
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        codec(FlyteDirectory).encode(folder, Full())


# --- as other values ---------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Run:
    logs: TensorboardLogs
    parts: dict[str, FlyteDirectory | FlyteFile | None]


def test_directories_nest_and_are_told_from_files(round_trip, folder):
    given = Run(TensorboardLogs(folder), {"d": FlyteDirectory(folder), "f": FlyteFile(folder / "a.txt"), "n": None})
    back = round_trip(Run, given)
    assert type(back.logs) is TensorboardLogs
    assert tree(back.logs) == tree(back.parts["d"]) == CONTENT
    assert type(back.parts["f"]) is FlyteFile
    assert tree(codec(Run).isolate(given).parts["d"]) == CONTENT
    with pytest.raises(MissingFileError) as caught:
        codec(Run).isolate(Run(TensorboardLogs(folder), {"d": FlyteDirectory("/none")}))
    assert caught.value.place == ".parts['d']"
    with pytest.raises(AmbiguousUnionError):
        codec(FlyteDirectory | TensorboardLogs)


def test_formats_are_kept_apart(folder):
    assert FlyteDirectory["tensorboard"] is TensorboardLogs
    assert str(codec(TFRecordsDirectory).literal_type) == "directory[tfrecords_dir]"
    with pytest.raises(TypeTransformerFailedError):
        codec(TensorboardLogs).isolate(TFRecordsDirectory(folder))
    with pytest.raises(TypeTransformerFailedError):
        codec(FlyteDirectory).isolate(FlyteFile(folder / "a.txt"))
    with pytest.raises(TypeTransformerFailedError):
        codec(FlyteFile).isolate(FlyteDirectory(folder))


def test_copies_and_pickles_are_directories_too(round_trip, folder):
    back = round_trip(TensorboardLogs, folder)
    for other in (copy.deepcopy(back), pickle.loads(pickle.dumps(back))):
        assert type(other) is TensorboardLogs
        assert tree(other) == CONTENT


def test_what_people_type_is_a_path_or_a_uri(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert tree(from_text(FlyteDirectory, "~/given")) == CONTENT
    assert from_text(FlyteDirectory, "s3://b/d").remote_source == "s3://b/d"
    with pytest.raises(MissingFileError):
        from_text(FlyteDirectory, "~/none")


def test_people_see_how_much_is_in_it(round_trip, folder):
    assert codec(FlyteDirectory).summary(round_trip(FlyteDirectory, folder))["files"] == 6


def test_a_copy_of_a_received_directory_is_ones_own(round_trip, folder):
    back = round_trip(FlyteDirectory, folder)
    back.download()
    Path(copy.deepcopy(back), "a.txt").write_text("changed")
    assert tree(back) == CONTENT
