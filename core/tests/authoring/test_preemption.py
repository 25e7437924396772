from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flytepath.authoring import preemption
from flytepath.authoring.checkpoint import Checkpoint
from flytepath.errors import ConfigError, InputError

HEAD = """
import json, os, signal, sys, threading, time
from flytepath.authoring import preemption

def reported(report):
    os.write(3, (json.dumps({
        "message": report.message, "ended": report.ended, "saved": report.has_saved, "step": report.step,
        "failures": report.failures, "record": report.record("train").model_dump(),
    }) + "\\n").encode())

def attempt(body, seconds=20.0):
    preemption.attempt_begins(seconds)
    try:
        body()
        os.write(3, b'{"ended": "well"}\\n')
    finally:
        preemption.attempt_ended()

def ready():
    os.write(3, b'{"ready": true}\\n')

def spin():
    while True:
        pass

preemption.install(reported)
"""


@dataclass
class Child:
    """A process that runs an attempt, and says on a pipe what happens."""

    process: subprocess.Popen[str]
    lines: list[dict[str, Any]]
    reader: threading.Thread

    def wait_for(self, key: str, seconds: float = 30) -> dict[str, Any]:
        return until(lambda: next((line for line in self.lines if key in line), None), seconds)

    def tell(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> dict[str, Any]:
        """The last thing it said, when it is gone."""
        self.process.wait(30)
        self.reader.join(30)
        assert not self.reader.is_alive()
        return self.lines[-1]

    def printed(self) -> str:
        return self.process.communicate()[0]


def until(found: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError("it did not come in time")


@pytest.fixture
def child() -> Any:
    started: list[Child] = []

    def start(body: str) -> Child:
        reading, writing = os.pipe()
        program = HEAD + textwrap.dedent(body)
        # The pipe is descriptor 3 over there.
        command = ["bash", "-c", f'exec "$0" -c "$1" 3>&{writing}', sys.executable, program]
        process = subprocess.Popen(
            command, pass_fds=(writing,), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        os.close(writing)
        lines: list[dict[str, Any]] = []

        def read() -> None:
            with os.fdopen(reading) as file:
                for line in iter(file.readline, ""):
                    lines.append(json.loads(line))

        reader = threading.Thread(target=read)
        reader.start()
        made = Child(process, lines, reader)
        started.append(made)
        return made

    yield start
    for made in started:
        if made.process.poll() is None:
            made.process.kill()
        made.process.wait()
        if made.process.stdout is not None:
            made.process.stdout.close()
        made.reader.join(30)


@pytest.mark.parametrize("stuck", ["spin()", "time.sleep(60)", "threading.Event().wait()", "sum(range(10**8)); spin()"])
def test_a_task_is_unwound_wherever_it_is(child: Any, stuck: str) -> None:
    found = child(
        f"""
        def body():
            try:
                ready()
                {stuck}
            except Exception:
                os.write(3, b'{{"caught": true}}\\n')
            finally:
                os.write(3, b'{{"finally": true}}\\n')
        attempt(body)
        """
    )
    found.wait_for("ready")
    found.tell()
    last = found.end()
    assert last["ended"] == "in time"
    assert "saved no checkpoint" in last["message"]
    assert last["record"]["kind"] == "preempted" and last["record"]["code"] == "FP-PREEMPTED"
    assert last["record"]["place"] == "train" and last["record"]["hint"]
    assert found.process.returncode == preemption.EXIT_STATUS
    assert {"finally": True} in found.lines and {"caught": True} not in found.lines


def test_hooks_run_in_order_and_are_told_what_is_left(child: Any) -> None:
    found = child(
        """
        def body():
            preemption.add_hook(lambda: os.write(3, b'{"first": true}\\n'))
            preemption.add_hook(lambda left: os.write(3, json.dumps({"left": left}).encode() + b'\\n'))
            def third(): preemption.note_saved(7)
            preemption.add_hook(third)
            removed = lambda: os.write(3, b'{"removed": true}\\n')
            preemption.add_hook(removed)
            preemption.remove_hook(removed)
            ready()
            spin()
        attempt(body, 12.0)
        """
    )
    found.wait_for("ready")
    found.tell()
    assert "saved at step 7" in found.end()["message"]
    assert [next(iter(line)) for line in found.lines[1:3]] == ["first", "left"]
    assert 0 < found.lines[2]["left"] <= 12
    assert not any("removed" in line for line in found.lines)


@pytest.mark.parametrize("error", ["ValueError('the disk is gone')", "SystemExit('the disk is gone')"])
def test_a_hook_that_raises_is_reported_and_the_others_run(child: Any, error: str) -> None:
    found = child(
        f"""
        def breaks(): raise {error}
        def body():
            preemption.add_hook(breaks)
            preemption.add_hook(lambda: preemption.note_saved(3))
            ready()
            spin()
        attempt(body)
        """
    )
    found.wait_for("ready")
    found.tell()
    last = found.end()
    assert last["saved"] and last["step"] == 3
    assert "the disk is gone" in last["message"] and "in breaks" in last["record"]["traceback"]
    assert "in breaks" in found.printed()


@pytest.mark.parametrize("stuck", ["spin()", "time.sleep(60)", "forever()"])
def test_at_the_deadline_the_process_ends_whatever_it_does(child: Any, stuck: str) -> None:
    found = child(
        f"""
        import queue
        def forever():
            lock = threading.Lock(); lock.acquire(); lock.acquire()
        def hangs():
            os.write(3, b'{{"hook": true}}\\n')
            while True:
                try:
                    {stuck}
                except BaseException:
                    pass
        def body():
            preemption.add_hook(hangs)
            ready()
            spin()
        attempt(body, 1.0)
        """
    )
    found.wait_for("ready")
    found.tell()
    assert found.end()["ended"] == "deadline"
    assert {"hook": True} in found.lines
    assert found.process.returncode == preemption.EXIT_STATUS


def test_c_code_that_does_not_return_is_ended_at_the_deadline(child: Any) -> None:
    found = child(
        """
        import ctypes
        entering = threading.Event()
        def ready_when_it_is_in_c():
            entering.wait()
            time.sleep(1.0)  # no Python can see when the other thread has left Python
            ready()
        def body():
            libc = ctypes.CDLL(None)
            mutex = ctypes.create_string_buffer(256)
            lock = libc.pthread_mutex_lock  # unlike sleep(), it goes on when a signal has come
            lock(mutex)
            threading.Thread(target=ready_when_it_is_in_c, daemon=True).start()
            entering.set()
            lock(mutex)
        attempt(body, 1.0)
        """
    )
    found.wait_for("ready")
    found.tell()
    assert found.end()["ended"] == "deadline"


def test_a_second_signal_ends_at_once(child: Any) -> None:
    found = child(
        """
        def hangs():
            os.write(3, b'{"hook": true}\\n')
            time.sleep(60)
        def body():
            preemption.add_hook(hangs)
            ready()
            spin()
        attempt(body, 60.0)
        """
    )
    found.wait_for("ready")
    found.tell()
    found.wait_for("hook")

    def again() -> bool:
        found.tell()
        return bool(found.process.poll() is not None)

    until(again)
    assert found.end()["ended"] == "signal"


def test_the_same_news_twice_is_told_once(child: Any) -> None:
    found = child(
        """
        def slow():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
            preemption.note_saved(None)
        def body():
            preemption.add_hook(slow)
            ready()
            spin()
        attempt(body)
        """
    )
    found.wait_for("ready")
    found.tell()
    last = found.end()
    assert last["ended"] == "in time" and last["saved"] and last["message"].endswith("a checkpoint was saved")


def test_a_task_that_asks_ends_by_itself(child: Any) -> None:
    found = child(
        """
        def body():
            step = int(preemption.is_preempted())
            ready()
            while not preemption.is_preempted():
                step += 1
            time.sleep(0.1)
            preemption.note_saved(step)
        attempt(body)
        """
    )
    found.wait_for("ready")
    found.tell()
    last = found.end()
    assert last["ended"] == "in time" and last["step"] > 0, "what a loop that stopped early returned does not count"


def test_what_a_task_raises_after_it_has_seen_the_flag_is_no_failure_of_its_own(child: Any) -> None:
    found = child(
        """
        def body():
            preemption.is_preempted()
            ready()
            while not preemption.is_preempted():
                pass
            raise ValueError("half done")
        attempt(body)
        """
    )
    found.wait_for("ready")
    found.tell()
    assert found.end()["record"]["code"] == "FP-PREEMPTED"


def test_a_task_that_asked_and_finished_has_succeeded(child: Any) -> None:
    found = child(
        """
        def body():
            preemption.is_preempted()
            ready()
            while not preemption.is_told_to_go():
                time.sleep(0.001)
        attempt(body)
        os.write(3, b'{"ended": "all"}\\n')
        """
    )
    found.wait_for("ready")
    found.tell()
    assert found.end() == {"ended": "all"}
    assert {"ended": "well"} in found.lines


def test_a_task_that_asks_and_goes_on_is_ended_at_the_deadline(child: Any) -> None:
    found = child(
        """
        def body():
            preemption.is_preempted()
            ready()
            while True:
                preemption.is_preempted()
        attempt(body, 0.5)
        """
    )
    found.wait_for("ready")
    found.tell()
    assert found.end()["ended"] == "deadline"


def test_what_is_shielded_is_not_cut(child: Any) -> None:
    found = child(
        """
        def body():
            with preemption.shielded():
                with preemption.shielded():
                    ready()
                    while not preemption.is_told_to_go():
                        time.sleep(0.001)
                os.write(3, b'{"whole": true}\\n')
            os.write(3, b'{"after": true}\\n')
        attempt(body)
        """
    )
    found.wait_for("ready")
    found.tell()
    assert found.end()["ended"] == "in time"
    assert {"whole": True} in found.lines and {"after": True} not in found.lines


def test_a_worker_between_attempts_just_goes(child: Any) -> None:
    found = child(
        """
        attempt(lambda: None)
        ready()
        time.sleep(60)
        """
    )
    found.wait_for("ready")
    found.tell()
    assert found.end() == {"ready": True}
    assert found.process.returncode == preemption.EXIT_STATUS


def test_what_an_attempt_saved_is_not_told_of_the_next(child: Any) -> None:
    found = child(
        """
        def first():
            preemption.add_hook(lambda: os.write(3, b'{"stale": true}\\n'))
            preemption.note_saved(3)
            preemption.is_preempted()
        def second():
            ready()
            spin()
        attempt(first)
        attempt(second)
        """
    )
    found.wait_for("ready")
    found.tell()
    last = found.end()
    assert not last["saved"] and last["ended"] == "in time" and {"stale": True} not in found.lines


def test_a_child_that_is_terminated_is_not_the_worker(child: Any) -> None:
    found = child(
        """
        import warnings
        warnings.simplefilter("ignore")
        def body():
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
                os._exit(0)
            os.kill(pid, signal.SIGTERM)
            _, status = os.waitpid(pid, 0)
            os.write(3, json.dumps({"status": os.WTERMSIG(status)}).encode() + b"\\n")
            time.sleep(1.0)
        attempt(body, 0.3)
        """
    )
    assert found.end() == {"ended": "well"}
    assert {"status": signal.SIGTERM} in found.lines


def test_a_task_that_takes_the_signal_itself_keeps_it_until_it_ends(child: Any) -> None:
    found = child(
        """
        def body():
            signal.signal(signal.SIGTERM, lambda *_: os.write(3, b'{"own": true}\\n'))
            ready()
            time.sleep(1)
        attempt(body, 0.2)
        def second():
            os.write(3, b'{"second": true}\\n')
            spin()
        attempt(second)
        """
    )
    found.wait_for("ready")
    found.tell()
    found.wait_for("second")
    found.tell()
    assert found.end()["ended"] == "in time"
    assert {"own": True} in found.lines and {"ended": "well"} in found.lines


def test_coroutines_are_unwound(child: Any) -> None:
    found = child(
        """
        import asyncio
        async def main():
            try:
                ready()
                await asyncio.sleep(60)
            finally:
                os.write(3, b'{"finally": true}\\n')
        attempt(lambda: asyncio.run(main()))
        """
    )
    found.wait_for("ready")
    found.tell()
    assert found.end()["ended"] == "in time"
    assert {"finally": True} in found.lines


def test_a_report_that_cannot_be_made_ends_the_process_and_says_why(child: Any) -> None:
    found = child(
        """
        def fails(report): raise OSError("the pipe is closed")
        preemption.install(fails)
        def body():
            ready()
            spin()
        attempt(body)
        """
    )
    found.wait_for("ready")
    found.tell()
    found.end()
    assert "the pipe is closed" in found.printed()


def test_outside_a_worker_hooks_are_kept_quiet() -> None:
    checkpoint = Checkpoint()
    checkpoint.on_preemption(lambda: None)
    assert not checkpoint.preempted
    preemption.attempt_begins()
    preemption.attempt_ended()
    with preemption.shielded():
        assert not preemption.is_told_to_go()


@pytest.mark.parametrize("hook", [lambda a, b: None, 3, "text"])
def test_a_hook_that_cannot_be_called_is_told_at_once(hook: Any) -> None:
    with pytest.raises(InputError, match="seconds"):
        Checkpoint().on_preemption(hook)


def test_the_deadline_leaves_time_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(preemption.TERMINATION_VARIABLE, "10")
    assert preemption.deadline() == 9
    monkeypatch.setenv(preemption.TERMINATION_VARIABLE, "soon")
    with pytest.raises(ConfigError, match="number"):
        preemption.deadline()


def test_nothing_of_a_task_is_held_up_by_except_exception(tmp_path: Path) -> None:
    assert not issubclass(preemption.AttemptPreempted, Exception)


def test_a_hook_that_saves_needs_nothing_that_is_still_being_imported(child: Any, tmp_path: Path) -> None:
    found = child(
        f"""
        from flytepath.authoring.checkpoint import Checkpoint
        checkpoint = Checkpoint({str(tmp_path)!r})
        def body():
            checkpoint.on_preemption(lambda: checkpoint.save({{"a": [1]}}, step=1))
            # The state of things while the task's own first save imports what it needs.
            def find_spec(name, path=None, target=None):
                if name.startswith("flytepath.authoring.saves") or name == "flytepath.types.engine":
                    raise ImportError(name)
            sys.meta_path.insert(0, type("Finder", (), {{"find_spec": staticmethod(find_spec)}}))
            ready()
            spin()
        attempt(body)
        """
    )
    found.wait_for("ready")
    found.tell()
    assert found.end()["step"] == 1


def test_a_child_that_is_told_too_does_not_disturb_the_hooks(child: Any) -> None:
    found = child(
        """
        import subprocess
        def lost(*_): raise RuntimeError("a loader was terminated")
        def body():
            worker = subprocess.Popen(["sleep", "60"])
            signal.signal(signal.SIGCHLD, lost)
            def save():
                worker.terminate()
                worker.wait()
                preemption.note_saved(5)
            preemption.add_hook(save)
            ready()
            spin()
        attempt(body)
        """
    )
    found.wait_for("ready")
    found.tell()
    last = found.end()
    assert last["step"] == 5 and last["failures"] == []


def test_an_error_after_the_signal_is_the_signals(child: Any) -> None:
    found = child(
        """
        def body():
            preemption.is_preempted()
            ready()
            while not preemption.is_told_to_go():
                pass
        preemption.attempt_begins(20.0)
        body()
        preemption.attempt_ended(failed=True)
        os.write(3, b'{"ended": "well"}\\n')
        """
    )
    found.wait_for("ready")
    found.tell()
    assert found.end()["record"]["code"] == "FP-PREEMPTED"
