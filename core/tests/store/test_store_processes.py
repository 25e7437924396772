"""Several processes on one home, and processes that are killed in the middle."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from flytepath.errors import StoreError
from flytepath.model.literal import Literal
from flytepath.model.types import STRING
from flytepath.store.events import open_store
from store_logs import created, noted, start

APPENDS = """
import sys
from pathlib import Path
from store_logs import created, noted
from flytepath.model.literal import Literal
from flytepath.model.types import INTEGER
from flytepath.store import sqlite
from flytepath.store.events import open_store
home, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sqlite.LOCK_TIMEOUT_SECONDS = float(sys.argv[4])
with open_store(home) as store:
    store.create(name, [created(name)])
    for seq in range(2, count + 1):
        store.append(name, seq - 1, 0, [noted(name, seq)], [Literal.make(INTEGER, seq)])
        assert store.last_seq(name) == seq
"""


@pytest.mark.parametrize("lock_timeout", ["0.05", "0"])
def test_eight_processes_write_at_once_without_an_error(tmp_path: Path, lock_timeout: str) -> None:
    processes = [start(APPENDS, str(tmp_path), f"x{number}", "30", lock_timeout) for number in range(8)]
    for process in processes:
        out, err = process.communicate(timeout=240)
        assert (process.returncode, out, err) == (0, "", "")
    with open_store(tmp_path) as store:
        assert {row.id: row.last_seq for row in store.executions()} == {f"x{number}": 30 for number in range(8)}
        assert all(len(store.read(f"x{number}")) == 30 for number in range(8))


HURRIES = """
import sys, time
from pathlib import Path
from store_logs import created, noted
from flytepath.store.events import open_store
home, name, depth, end = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
with open_store(home) as store:
    store.create(name, [created(name)])
    seq, waiting = 1, []
    while time.time() < end:
        waiting.append(store.append_later(name, seq, 0, [noted(name, seq + 1)]))
        seq += 1
        if len(waiting) == depth:
            waiting.pop(0).result()
    for future in waiting:
        future.result()
    print(store.commits)
"""


def test_no_process_starves_among_those_that_write_without_pause(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    end = str(time.time() + 6)
    depths = ["50", "50", *["1"] * 6]
    processes = [start(HURRIES, str(tmp_path), f"x{number}", depth, end) for number, depth in enumerate(depths)]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [(process.returncode, err) for process, (_, err) in zip(processes, outputs, strict=True)] == [(0, "")] * 8
    turns = [int(out) for out, _ in outputs]
    assert min(turns) * 20 >= max(turns), turns


def test_an_append_waits_for_another_process_while_readers_go_on(tmp_path: Path) -> None:
    with open_store(tmp_path) as store, closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:
        store.create("x", [created("x")])
        other.execute("BEGIN IMMEDIATE")
        waiting = store.append_later("x", 1, 0, [noted("x", 2)])
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        assert store.last_seq("x") == 1
        other.execute("COMMIT")
        waiting.result(timeout=30)
        assert store.last_seq("x") == 2


def test_a_process_that_never_lets_go_is_reported_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flytepath.store.sqlite.PATIENCE_SECONDS", 0.1)
    with open_store(tmp_path) as store, closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:
        store.create("x", [created("x")])
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process") as caught:
            store.append("x", 1, 0, [noted("x", 2)])
        assert "locked" not in str(caught.value)
        other.execute("ROLLBACK")
        store.append("x", 1, 0, [noted("x", 2)])


CONTENDS = """
import sys
from pathlib import Path
from store_logs import noted
from flytepath.errors import SequenceConflictError
from flytepath.store.events import open_store
won = 0
with open_store(Path(sys.argv[1])) as store:
    while (last := store.last_seq("x")) < 100:
        try:
            store.append("x", last, 0, [noted("x", last + 1, sys.argv[2])])
        except SequenceConflictError:
            continue
        won += 1
print(won)
"""


def test_processes_that_contend_for_one_log_leave_no_gap_and_nothing_twice(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.create("x", [created("x")])
    processes = [start(CONTENDS, str(tmp_path), str(number)) for number in range(4)]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [err for _, err in outputs] == [""] * 4
    assert sum(int(out) for out, _ in outputs) == 99
    with open_store(tmp_path) as store:
        assert [event.seq for event in store.read("x")] == list(range(1, 101))


TELLS = """
import sys
from pathlib import Path
from store_logs import created, noted
from flytepath.model.literal import Literal
from flytepath.model.types import STRING
from flytepath.store.events import open_store
home, name = Path(sys.argv[1]), sys.argv[2]
store = open_store(home)
store.create(name, [created(name)])
seq = 1
while True:
    store.append(name, seq, 0, [noted(name, seq + 1), noted(name, seq + 2)], [Literal.make(STRING, f"value {seq}")])
    seq += 2
    print(seq, flush=True)
"""


def test_every_append_reported_as_done_is_there_after_a_kill(tmp_path: Path) -> None:
    for number, lines in enumerate((1, 7, 20, 33, 50)):
        name = f"x{number}"
        process = start(TELLS, str(tmp_path), name)
        assert process.stdout is not None
        for _ in range(lines):
            told = int(process.stdout.readline())
        process.kill()
        rest, _ = process.communicate(timeout=60)
        told = max([told, *(int(line) for line in rest.split("\n")[:-1])])
        with open_store(tmp_path) as store:
            events = store.read(name)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert len(events) >= told
            assert len(events) % 2 == 1, "half of an append was kept"
            digests = [Literal.make(STRING, f"value {seq}").digest for seq in range(1, len(events), 2)]
            assert len(store.literals(name, digests)) == len(digests)
            assert next(row.last_seq for row in store.executions() if row.id == name) == len(events)


OPENS = """
import sys, time
from pathlib import Path
from flytepath.store import migrate
from flytepath.store.events import open_store
home, name = Path(sys.argv[1]), sys.argv[2]
done = []
made, upgraded = migrate._create, migrate.upgrade
migrate._create = lambda connection: (done.append("created"), made(connection))
migrate.upgrade = lambda connection: (done.append("upgraded"), upgraded(connection))
print("ready", flush=True)
sys.stdin.readline()
from store_logs import created
with open_store(home) as store:
    store.create(name, [created(name)])
print(len(done))
"""


@pytest.mark.parametrize("round", range(3))
def test_processes_that_open_a_new_home_at_once_make_it_once(tmp_path: Path, round: int) -> None:
    command = [sys.executable, "-W", "error", "-c", OPENS, str(tmp_path / "home")]
    here = str(Path(__file__).parent)
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([*command, f"x{number}"], stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=here)
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [err for _, err in outputs] == [""] * 4
    assert sum(int(out) for out, _ in outputs) == 1
    with open_store(tmp_path / "home") as store:
        assert len(store.executions()) == 4


FILLS = """
import json, resource, sys
from pathlib import Path
from store_logs import created, noted
from flytepath.errors import StoreFullError
from flytepath.store.events import open_store
home = Path(sys.argv[1])
with open_store(home) as store:
    store.create("x", [created("x")])
    limit = 600_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    seq, errors = 1, []
    for _ in range(60):
        try:
            store.append("x", seq, 0, [noted("x", seq + 1, "x" * 30_000)])
        except StoreFullError as error:
            errors.append([error.code, error.place])
            break
        seq += 1
    read = len(store.read("x"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.append("x", seq, 0, [noted("x", seq + 1)])
    print(json.dumps({"recorded": seq, "read": read, "errors": errors, "last": store.last_seq("x")}))
"""


def test_a_full_disk_is_reported_and_what_was_recorded_is_intact(tmp_path: Path) -> None:
    out, err = (process := start(FILLS, str(tmp_path))).communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    said = json.loads(out)
    assert said["errors"] == [["FP-STORE-FULL", str(tmp_path / "store.db")]]
    assert 1 < said["recorded"] == said["read"]
    assert said["last"] == said["recorded"] + 1
    with open_store(tmp_path) as store:
        assert store.last_seq("x") == said["last"]


SETTLES = """
import resource, sys
from pathlib import Path
from store_logs import created, noted
from flytepath.errors import StoreFullError
from flytepath.store.events import open_store
with open_store(Path(sys.argv[1])) as store:
    for name in ("small", "large"):
        store.create(name, [created(name)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    futures = [
        store.append_later("large", 1, 0, [noted("large", 2, "x" * 1_000_000)]),
        store.append_later("small", 1, 0, [noted("small", 2)]),
    ]
    print([type(future.exception()).__name__ for future in futures])
"""


def test_an_append_too_large_for_the_disk_does_not_fail_the_others(tmp_path: Path) -> None:
    out, err = (process := start(SETTLES, str(tmp_path))).communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out.strip() == "['StoreFullError', 'NoneType']"
