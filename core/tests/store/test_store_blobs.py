from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flytepath.errors import NotFoundError, StoreCorruptError, StoreError, UsageError
from flytepath.model.literal import BlobRef, Literal, sha256
from flytepath.model.types import STRING
from flytepath.store.blobs import BlobCorruptError, BlobFolder, FileBlobStore
from flytepath.store.literals import inline, offload
from store_logs import start


@pytest.fixture(params=["local", "url", "remote"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobFolder:
    root = {"local": tmp_path, "url": tmp_path.as_uri(), "remote": f"memory://{tmp_path}"}[request.param]
    return BlobFolder(root, "shop", "development")


@pytest.fixture
def local(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path, "shop", "development")


def path_of(ref: BlobRef) -> Path:
    return Path(ref.uri.removeprefix("file://"))


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_bytes_come_back_as_they_were(blobs: BlobFolder) -> None:
    for content in (b"", b"weights", os.urandom(3_000_000)):
        ref = blobs.put(content)
        assert (ref.digest, ref.size) == (sha256(content), len(content))
        assert blobs.get(ref) == content
        assert blobs.local_path(ref).read_bytes() == content


def test_a_blob_opens_as_a_seekable_stream(blobs: BlobFolder) -> None:
    with blobs.open(blobs.put(b"0123456789")) as stream:
        stream.seek(4)
        assert stream.read(3) == b"456"


def test_the_same_content_twice_is_one_blob(local: BlobFolder, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"weights")
    with local.create() as writer:
        writer.write(b"wei")
        writer.write(memoryview(b"ghts"))
    refs = {local.put(b"weights"), local.put(b"weights"), local.put_file(source), writer.ref}
    assert len(refs) == 1
    assert len(files_below(tmp_path / "shop")) == 1


def test_a_file_larger_than_memory_buffers_is_streamed(blobs: BlobFolder, tmp_path: Path) -> None:
    source = tmp_path / "large"
    with source.open("wb") as file:
        for number in range(20):
            file.write(bytes([number]) * 1_000_003)
    ref = blobs.put_file(source)
    assert ref.size == 20 * 1_000_003
    with blobs.open(ref) as stream:
        stream.seek(19 * 1_000_003)
        assert stream.read() == bytes([19]) * 1_000_003


def test_a_writer_whose_block_fails_leaves_nothing(blobs: BlobFolder, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="mine"), blobs.create() as writer:
        writer.write(b"half")
        raise OSError("mine")
    with pytest.raises(StoreError, match="not written"):
        _ = writer.ref
    assert files_below(tmp_path) == []
    with pytest.raises(NotFoundError):
        blobs.get(BlobRef("file:///x", sha256(b"half"), 4))


def test_a_blob_that_is_not_there_is_not_found(blobs: BlobFolder) -> None:
    ref = BlobRef("file:///elsewhere", sha256(b"never put"), 9)
    for read in (blobs.get, blobs.open, blobs.local_path):
        with pytest.raises(NotFoundError) as caught:
            read(ref)
        assert "shop/development" in (caught.value.place or "")


def test_a_reference_that_is_no_digest_is_refused(blobs: BlobFolder) -> None:
    for digest in ("md5:0", "sha256:../../secret", "sha256:" + "G" * 64):
        with pytest.raises(StoreError, match="digest"):
            blobs.get(BlobRef("file:///x", digest, 1))


@pytest.mark.parametrize("damage", [b"w3ights", b"weigh", b""])
def test_a_damaged_blob_is_named_and_never_handed_out(local: BlobFolder, damage: bytes) -> None:
    ref = local.put(b"weights")
    path_of(ref).chmod(0o644)
    path_of(ref).write_bytes(damage)
    for read in (local.get, local.open, local.local_path):
        with pytest.raises(BlobCorruptError) as caught:
            read(ref)
        assert isinstance(caught.value, StoreCorruptError)
        assert (caught.value.place, caught.value.expected) == (ref.uri, ref.digest)


def test_damage_after_a_first_reading_is_seen(local: BlobFolder) -> None:
    ref = local.put(b"weights")
    assert local.local_path(ref).read_bytes() == b"weights"
    path_of(ref).unlink()
    path_of(ref).write_bytes(b"w3ights")
    with pytest.raises(BlobCorruptError):
        local.local_path(ref)


def test_putting_a_value_again_mends_its_blob(local: BlobFolder) -> None:
    ref = local.put(b"weights")
    path_of(ref).chmod(0o644)
    path_of(ref).write_bytes(b"w3ights")
    assert local.put(b"weights") == ref
    assert local.get(ref) == b"weights"


def test_blobs_are_read_only(local: BlobFolder) -> None:
    assert path_of(local.put(b"weights")).stat().st_mode & 0o222 == 0


def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    ours = BlobFolder(tmp_path, "shop", "development").put(b"secret")
    for project, domain in (("shop", "production"), ("other", "development")):
        with pytest.raises(NotFoundError):
            BlobFolder(tmp_path, project, domain).get(ours)
    with pytest.raises(UsageError):
        BlobFolder(tmp_path, "..", "development")


def test_a_file_in_place_of_the_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("in the way")
    with pytest.raises(StoreError) as caught:
        BlobFolder(tmp_path / "blobs", "shop", "development").put(b"x")
    assert "blobs" in (caught.value.place or "")


def test_a_url_that_nothing_reads_says_what_to_install() -> None:
    with pytest.raises(StoreError) as caught:
        BlobFolder("nosuchscheme://bucket", "shop", "development")
    assert "install" in (caught.value.hint or "")


WRITES_TOO_MUCH = """
import resource, sys
from pathlib import Path
from flytepath.errors import StoreFullError
from flytepath.store.blobs import BlobFolder, FileBlobStore
blobs = BlobFolder(sys.argv[1], "shop", "development")
kept = blobs.put(b"kept")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    blobs.put(b"x" * 5_000_000)
except StoreFullError as error:
    print(error.code)
try:
    with blobs.create() as writer:
        writer.write(b"x" * 200_000)
except StoreFullError as error:
    print(error.code)
print(blobs.get(kept))
"""


def test_a_full_disk_is_reported_and_harms_nothing(tmp_path: Path) -> None:
    process = start(WRITES_TOO_MUCH, str(tmp_path))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.split("\n")[:3] == ["FP-STORE-FULL", "FP-STORE-FULL", "b'kept'"]
    assert len(files_below(tmp_path)) == 1


WRITES_UNTIL_KILLED = """
import os, sys
from flytepath.store.blobs import BlobFolder
blobs = BlobFolder(sys.argv[1], "shop", "development")
while True:
    print(blobs.put(os.urandom(300_000)).digest, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_only_whole_blobs(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path, "shop", "development")
    for lines in (1, 3, 8):
        process = start(WRITES_UNTIL_KILLED, str(tmp_path))
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(lines)]
        process.kill()
        rest, _ = process.communicate(timeout=60)
        told += [line for line in rest.split("\n") if len(line) == len(told[0])]
        for digest in told:
            blobs.get(BlobRef("", digest, 300_000))
    kept = [path for path in files_below(tmp_path) if path.parent.name != "drafts"]
    assert kept
    for path in kept:
        assert sha256(path.read_bytes()) == f"sha256:{path.name}"


def test_a_large_payload_lies_in_a_blob_and_a_small_one_in_the_log(blobs: BlobFolder) -> None:
    small, large = Literal.make(STRING, "x"), Literal.make(STRING, "x" * 40_000)
    assert offload(small, blobs) is small
    stored = offload(large, blobs)
    assert stored.is_offloaded
    assert stored.digest == large.digest
    assert offload(stored, blobs) is stored
    assert [inline(item, blobs) for item in (small, stored)] == [small, large]


def test_a_worker_needs_neither_the_database_nor_fsspec_for_its_blobs(tmp_path: Path) -> None:
    program = (
        "import sys; from flytepath.store.blobs import BlobFolder; import flytepath.store.literals;"
        f"BlobFolder({str(tmp_path)!r}, 'p', 'd').put(b'x');"
        "print([m for m in ('sqlalchemy', 'sqlite3', 'alembic', 'fsspec') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


def test_files_are_written_whole_read_and_removed(tmp_path: Path) -> None:
    files = FileBlobStore()
    uri = (tmp_path / "new folder" / "ü.txt").as_uri()
    assert not files.exists(uri)
    with pytest.raises(FileNotFoundError):
        files.open_read(uri)
    assert files.write(uri, io.BytesIO(b"one")) == 3
    assert files.write(uri, io.BytesIO(b"three")) == 5
    with files.open_read(uri) as stream:
        assert stream.read() == b"three"
    files.delete(uri)
    files.delete(uri)
    assert not files.exists(uri)


def test_a_file_stays_as_it_was_when_its_new_content_breaks_off(tmp_path: Path) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise RuntimeError("connection lost")

    files, uri = FileBlobStore(), (tmp_path / "a").as_uri()
    files.write(uri, io.BytesIO(b"old"))
    with pytest.raises(RuntimeError):
        files.write(uri, Broken())  # type: ignore[arg-type]
    assert files_below(tmp_path) == [tmp_path / "a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("uri", ["s3://bucket/key", "file://host/a", "/a"])
def test_only_files_of_this_machine_are_of_the_file_scheme(uri: str) -> None:
    with pytest.raises(UsageError):
        FileBlobStore().exists(uri)
