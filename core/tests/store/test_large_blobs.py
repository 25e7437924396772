"""Large blobs: digested, written and synced side by side, and not digested again by who finds them unchanged."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from flytepath.errors import StoreError
from flytepath.store.blobs import BlobCorruptError, BlobFolder

MIB = 1024 * 1024


def folder(place: Path) -> BlobFolder:
    return BlobFolder(place, "p", "d")


def written(place: Path, size: int = 3 * MIB) -> Any:
    content = bytes(range(256)) * (size // 256)
    with folder(place).create() as writer:
        writer.write(content)
    return writer.ref, content


sealed = pytest.mark.skipif(sys.platform != "linux", reason="the note stands in an extended attribute of Linux")


@pytest.fixture
def digests(monkeypatch):
    """How often a file was digested."""
    seen: list[int] = []
    real = hashlib.file_digest

    def count(file: Any, algorithm: Any) -> Any:
        seen.append(1)
        return real(file, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", count)
    return seen


def test_pieces_of_every_size_make_the_digest_of_the_whole(tmp_path):
    pieces = [os.urandom(size) for size in (1, 5 * MIB, 0, MIB - 1, MIB, 30 * MIB, 7)]
    with folder(tmp_path).create() as writer:
        for piece in pieces:
            assert writer.write(piece) == len(piece)
    whole = b"".join(pieces)
    assert writer.ref.digest == f"sha256:{hashlib.sha256(whole).hexdigest()}"
    assert writer.ref.size == len(whole)
    assert folder(tmp_path).get(writer.ref) == whole


def test_a_piece_may_be_changed_once_it_is_written(tmp_path):
    piece = bytearray(2 * MIB)
    with folder(tmp_path).create() as writer:
        for value in (1, 2, 3):
            piece[:] = bytes([value]) * len(piece)
            writer.write(memoryview(piece))
    content = b"".join(bytes([value]) * len(piece) for value in (1, 2, 3))
    assert writer.ref.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert folder(tmp_path).get(writer.ref) == content


@sealed
def test_a_blob_found_as_it_was_left_is_not_digested_again(tmp_path, digests):
    ref, content = written(tmp_path)
    assert folder(tmp_path).local_path(ref).read_bytes() == content
    assert not digests


def test_a_blob_without_the_note_is_digested(tmp_path, digests, monkeypatch):
    monkeypatch.delattr(os, "setxattr", raising=False)
    ref, content = written(tmp_path)
    assert folder(tmp_path).local_path(ref).read_bytes() == content
    assert digests == [1]


@sealed
@pytest.mark.parametrize("change", ["a byte", "shorter", "replaced", "copied"])
def test_a_blob_that_was_changed_or_moved_is_digested(change, tmp_path, digests):
    ref, content = written(tmp_path)
    path = folder(tmp_path).local_path(ref)
    if change in ("a byte", "shorter"):
        path.chmod(0o644)
        with path.open("r+b") as file:
            if change == "a byte":
                file.write(b"\xff")
            else:
                file.truncate(MIB)
    else:
        copy = path.with_name("copy")
        shutil.copy2(path, copy)
        if change == "replaced":
            copy.chmod(0o644)
            copy.write_bytes(content[:-1] + b"x")
        copy.replace(path)
    if change == "copied":
        assert folder(tmp_path).local_path(ref).read_bytes() == content
        assert digests == [1]
        return
    with pytest.raises(BlobCorruptError):
        folder(tmp_path).local_path(ref)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_sync_that_fails_fails_the_blob_whenever_it_happens(failing, tmp_path, monkeypatch):
    real, calls = os.fsync, []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(5, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreError), folder(tmp_path).create() as writer:
        for _ in range(30):
            writer.write(bytes(MIB))
    assert len(calls) == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_exception_leaves_nothing_behind(tmp_path):
    with pytest.raises(KeyError), folder(tmp_path).create() as writer:
        for _ in range(30):
            writer.write(bytes(MIB))
        raise KeyError
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
