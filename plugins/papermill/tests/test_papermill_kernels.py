"""No kernel outlives its task, and runs do not get into each other's way."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flyte_plugin_papermill import NotebookCellError, NotebookTask
from flytepath import kwtypes
from papermill_flows import Flows, decks
from papermill_notebooks import USE, written

Make = Callable[..., NotebookTask]

#: Tells the processes of a kernel, the last one started by a cell, and goes on for ever.
STAYS = (
    "import os, subprocess, time, pathlib\n"
    "child = subprocess.Popen(['sleep', '600'])\n"
    "file = pathlib.Path(told + '.part')\n"
    "file.write_text(f'{os.getpid()} {os.getppid()} {child.pid}')\n"
    "file.rename(told)\n"
    "time.sleep(wait)"
)


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def processes(told: Path) -> list[int]:
    until(told.exists)
    return [int(pid) for pid in told.read_text().split()]


def test_what_a_cell_started_ends_with_the_notebook(task: Make, tmp_path: Path) -> None:
    told = tmp_path / "told"
    task("told, wait = '', 0", STAYS, inputs=kwtypes(told=str, wait=int))(told=str(told), wait=0)
    until(lambda: not any(map(lives, processes(told))))


def test_what_a_cell_started_ends_when_another_fails(task: Make, tmp_path: Path) -> None:
    told = tmp_path / "told"
    made = task("told, wait = '', 0", STAYS, "1 / 0", inputs=kwtypes(told=str, wait=int))
    with pytest.raises(NotebookCellError):
        made(told=str(told), wait=0)
    until(lambda: not any(map(lives, processes(told))))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_kernel_ends_with_the_process_of_its_task(tmp_path: Path, number: signal.Signals) -> None:
    written(tmp_path / "n.ipynb", "told, wait = '', 0", STAYS)
    told = tmp_path / "told"
    source = (
        # A shell that starts the tests in the background lets SIGINT be ignored, and what they start inherits that.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from flyte_plugin_papermill import NotebookTask\n"
        f"NotebookTask('n', 'n.ipynb', inputs={{'told': str, 'wait': int}})(told={str(told)!r}, wait=600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", source], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        pids = processes(told)
        assert all(map(lives, pids))
        process.send_signal(number)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    until(lambda: not any(map(lives, pids)))


@pytest.mark.proof
def test_a_kernel_ends_with_an_attempt_that_takes_too_long_and_with_one_that_is_aborted(
    flows: Flows, tmp_path: Path
) -> None:
    flows.notebook("stays", "told, wait = '', 0", "print('so far so good')", STAYS)
    flows.module(
        """
        bounded = NotebookTask("bounded", "stays.ipynb", inputs=kwtypes(told=str, wait=int), timeout=15)
        endless = NotebookTask("endless", "stays.ipynb", inputs=kwtypes(told=str, wait=int))

        @workflow
        def takes_too_long(told: str):
            bounded(told=told, wait=600)

        @workflow
        def for_ever(told: str):
            endless(told=told, wait=600)
        """
    )
    told = tmp_path / "told"
    view = flows.failed("takes_too_long", "--told", str(told))
    assert view["error"]["code"] == "FP-TIMEOUT", view["error"]
    page = decks(view)["out_rendered_nb"]
    assert "so far so good" in page
    assert "still running" in page or "ended from outside" in page
    until(lambda: not any(map(lives, processes(told))))

    other = tmp_path / "other"
    running = flows.start("run", "flow.py", "for_ever", "--told", str(other), "--json")
    pids = processes(other)
    listed = json.loads(flows.flytepath("executions", "list", "--json").stdout)
    rows = listed if isinstance(listed, list) else listed["executions"]
    (execution,) = [row["id"] for row in rows if row["id"] and "for_ever" in json.dumps(row)]
    aborted = flows.flytepath("executions", "abort", execution)
    assert aborted.returncode == 0, aborted.stderr
    until(lambda: not any(map(lives, pids)))
    running.communicate(timeout=60)


def test_runs_of_one_notebook_at_the_same_time_do_not_collide(task: Make, tmp_path: Path) -> None:
    made = task(
        "x, meet = 0, ''",
        USE
        + "import os, pathlib, time\n"
        + "pathlib.Path('mine').write_text(str(x)); pathlib.Path(meet, str(x)).touch()\n"
        + "while len(os.listdir(meet)) < 3: time.sleep(0.01)\n"
        + "record_outputs(y=int(pathlib.Path('mine').read_text()))",
        inputs=kwtypes(x=int, meet=str),
        outputs=kwtypes(y=int),
    )
    meet = tmp_path / "meet"
    meet.mkdir()
    here = os.getcwd()  # noqa: PTH109
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda x: made(x=x, meet=str(meet)), range(3)))
    assert found == [0, 1, 2]
    assert os.getcwd() == here  # noqa: PTH109
    assert [one.name for one in (tmp_path / "given").iterdir()] == ["note.ipynb"]


def test_a_notebook_runs_inside_a_running_event_loop(task: Make) -> None:
    made = task("x = 1", USE + "record_outputs(y=x)", outputs=kwtypes(y=int))

    async def inside() -> int:
        found: int = made()
        return found

    assert asyncio.run(inside()) == 1


def test_the_event_loop_of_a_thread_stays_its_own(task: Make) -> None:
    made = task("x = 1", USE + "record_outputs(y=x)", outputs=kwtypes(y=int))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        assert made() == 1
        assert asyncio.get_event_loop() is loop
        assert not loop.is_closed()
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_nothing_is_left_open(task: Make) -> None:
    made = task("x = 1")
    made()
    before, threads = set(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208
    for _ in range(2):
        made()
    thread = threading.Thread(target=made)
    thread.start()
    thread.join()
    gc.collect()  # what was left open warns then, and warnings are errors here
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 1  # noqa: PTH208
    assert threading.active_count() <= threads + 1
