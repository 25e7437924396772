"""What tells one database from every other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flytepath.store.events import open_store


def test_a_database_has_one_name_for_ever(tmp_path: Path, url: str | None) -> None:
    with open_store(tmp_path, url=url) as first, open_store(tmp_path, url=url) as second:
        with ThreadPoolExecutor(2) as pool:
            names = set(pool.map(lambda store: store.installation(), (first, second)))
        assert len(names) == 1
    with open_store(tmp_path, url=url) as later:
        assert {later.installation(), later.installation()} == names


def test_another_database_has_another_name(tmp_path: Path) -> None:
    with open_store(tmp_path / "a") as one, open_store(tmp_path / "b") as other:
        assert one.installation() != other.installation()
