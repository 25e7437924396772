"""The output cache: shared by processes, apart by tenant, and never a reason for a task to fail."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from flytepath.model.literal import BlobRef, Literal
from flytepath.model.types import INTEGER, STRING, LiteralType
from flytepath.store.output_cache import OutputCache

OUTPUTS = {
    "o0": Literal.make(INTEGER, 3),
    "o1": Literal.make(LiteralType("file"), None, format="file", ref=BlobRef("file:///x", "sha256:1", 3)),
}


def test_what_was_put_is_found_by_another_process(tmp_path: Path) -> None:
    cache = OutputCache(tmp_path / "cache.db")
    assert cache.get("k") is None
    cache.put("k", OUTPUTS, {"task": "t"})
    assert cache.get("k") == OUTPUTS
    program = (
        "import sys; from pathlib import Path; from flytepath.store.output_cache import OutputCache\n"
        "print(OutputCache(Path(sys.argv[1])).get('k')['o0'].data)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(cache.path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3"
    cache.close()


def test_a_look_up_makes_no_file(tmp_path: Path) -> None:
    cache = OutputCache(tmp_path / "home" / "cache.db")
    cache.get("k")
    assert list(tmp_path.iterdir()) == []


def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    ours = OutputCache(tmp_path / "cache.db", "a", "development")
    theirs = OutputCache(tmp_path / "cache.db", "a", "production")
    ours.put("k", OUTPUTS)
    assert theirs.get("k") is None
    theirs.clear()
    assert ours.get("k") == OUTPUTS
    ours.close()
    theirs.close()


def test_forgetting_and_clearing_leave_nothing(tmp_path: Path) -> None:
    cache = OutputCache(tmp_path / "cache.db")
    cache.put("k", OUTPUTS)
    cache.forget("k")
    assert cache.get("k") is None
    cache.put("k", OUTPUTS)
    cache.put("k", {"o0": OUTPUTS["o0"]})
    assert cache.get("k") == {"o0": OUTPUTS["o0"]}
    cache.clear()
    assert cache.get("k") is None
    cache.close()


def test_a_damaged_file_is_a_miss_and_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"this is no database" * 1000)
    cache = OutputCache(path)
    with caplog.at_level(logging.WARNING, "flytepath"):
        assert cache.get("k") is None
        cache.put("k", OUTPUTS)
        assert cache.get("k") is None
    assert len(caplog.records) == 1
    assert path.read_bytes().startswith(b"this is no database")
    cache.close()


def test_a_damaged_row_is_a_miss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = OutputCache(tmp_path / "cache.db")
    cache.put("k", OUTPUTS)
    connection = cache._connection(create=True)
    assert connection is not None
    connection.execute("UPDATE outputs SET body = '[1'")
    assert cache.get("k") is None
    assert "cannot be used" in caplog.text
    cache.close()


def test_threads_use_one_cache_side_by_side(tmp_path: Path) -> None:
    cache = OutputCache(tmp_path / "cache.db")
    missing: list[int] = []

    def work(number: int) -> None:
        for turn in range(20):
            key = f"{number}-{turn}"
            cache.put(key, {"o0": Literal.make(STRING, key)})
            found = cache.get(key)
            if found is None or found["o0"].data != key:
                missing.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []
    cache.close()
