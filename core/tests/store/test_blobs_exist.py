"""Whether a blob is there: asked before a cached result is used."""

from __future__ import annotations

from pathlib import Path

import pytest
from flytepath.model.literal import BlobRef
from flytepath.store.blobs import BlobFolder


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_a_blob_exists_until_it_is_gone(kind: str, tmp_path: Path) -> None:
    import fsspec  # type: ignore[import-untyped]

    files = fsspec.filesystem("memory")
    root = str(tmp_path / "blobs") if kind == "local" else f"memory://{tmp_path.name}"
    blobs = BlobFolder(root, "p", "d")
    ref = blobs.put(b"weights")
    assert blobs.exists(ref)
    assert not blobs.exists(BlobRef(ref.uri, "sha256:" + "0" * 64, 7))
    if kind == "local":
        path = blobs.local_path(ref)
        path.chmod(0o644)
        path.write_bytes(b"weighty")
        assert not blobs.exists(ref)
        path.unlink()
    else:
        assert not blobs.exists(BlobRef(ref.uri, ref.digest, 8))
        files.rm(ref.uri)
    assert not blobs.exists(ref)


def test_a_blob_elsewhere_is_not_downloaded_to_see_whether_it_exists(tmp_path: Path) -> None:
    root = f"memory://{tmp_path.name}"
    ref = BlobFolder(root, "p", "d").put(b"weights")
    reader = BlobFolder(root, "p", "d", cache=tmp_path / "cache")
    assert reader.exists(ref)
    assert not (tmp_path / "cache").exists()
