"""The in-memory blobs behave as the contract says of every sink and source."""

from __future__ import annotations

import pytest
from flytepath.errors import LiteralError
from flytepath.model.literal import BlobRef
from flytepath.testing import MemoryBlobs


def test_the_same_bytes_are_one_blob(memory_blobs):
    assert memory_blobs.put(b"x") == memory_blobs.put(b"x")
    assert len(memory_blobs.contents) == 1


def test_a_file_is_kept_by_its_content(memory_blobs, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"content")
    assert memory_blobs.put_file(path) == memory_blobs.put(b"content")


def test_a_writer_that_fails_keeps_nothing(memory_blobs):
    with pytest.raises(ZeroDivisionError), memory_blobs.create() as writer:
        writer.write(b"half")
        raise ZeroDivisionError
    assert memory_blobs.contents == {}
    with pytest.raises(LiteralError):
        _ = writer.ref


def test_a_missing_or_damaged_blob_is_an_error(memory_blobs):
    with pytest.raises(LiteralError, match="no such blob"):
        memory_blobs.get(BlobRef("memory://blobs/0", "sha256:0", 1))
    ref = memory_blobs.put(b"good")
    memory_blobs.contents[ref.digest] = b"evil"
    with pytest.raises(LiteralError, match="damaged"):
        memory_blobs.get(ref)


def test_the_local_path_is_a_read_only_file_and_goes_with_the_blobs():
    blobs = MemoryBlobs()
    path = blobs.local_path(blobs.put(b"on disk"))
    assert path.read_bytes() == b"on disk"
    assert not path.stat().st_mode & 0o222
    assert blobs.local_path(blobs.put(b"on disk")) == path
    del blobs
    assert not path.exists()


def test_streams_can_be_sought(memory_blobs):
    stream = memory_blobs.open(memory_blobs.put(b"abc"))
    stream.seek(1)
    assert stream.read() == b"bc"


def test_the_home_of_a_test_is_its_own(flytepath_home, tmp_path):
    assert flytepath_home.parent == tmp_path
    assert list(flytepath_home.iterdir()) == []
