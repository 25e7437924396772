"""Ctrl-C in a direct call of a remote task: the job is cancelled and gone; a second one leaves at once and says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_distributions import Distributions
from flytepath.testing.fake_vendor import TOKEN, FakeVendor, FaultKind
from remote_vendor import vendor_installed

#: Far more than any of this takes; reaching it is a failure.
DEADLINE = 60.0

PROGRAM = """
    import asyncio, logging, signal, sys, threading

    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where tests run in the background
    from flytepath import PythonInstanceTask, eager, kwtypes, map_task, task, workflow
    from flytepath.testing.reference_task import VendorJob

    endless = PythonInstanceTask("interrupted.endless", VendorJob(seconds=None, outputs={"rows": 1}),
                                 inputs=kwtypes(x=int), outputs=kwtypes(rows=int), **SETTINGS)

    @workflow
    def flow(xs: list[int]) -> list[int]:
        return map_task(endless)(x=xs)

    @eager
    async def eagerly(x: int) -> int:
        return endless(x=x)

    @task
    async def outer(x: int) -> int:
        return endless(x=x)

    @workflow
    def around(x: int) -> int:
        return outer(x=x)

    try:
        CALL
    except KeyboardInterrupt:
        sys.stdout.write("interrupted")
        sys.stdout.flush()
        raise
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FakeVendor, Distributions]]:
    with vendor_installed(tmp_path, monkeypatch) as both:
        yield both


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def started(fakes: Distributions, call: str, settings: str = "{}") -> subprocess.Popen[str]:
    program = textwrap.dedent(PROGRAM).replace("CALL", call).replace("SETTINGS", settings)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        env=fakes.environment(FLYTEPATH_SECRET_VENDOR_TOKEN=TOKEN),
        cwd=fakes.work,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        out, err = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT, err
    return out, err


@pytest.mark.parametrize(
    ("call", "jobs"),
    [
        ("endless(x=1)", 1),
        ("flow(xs=list(range(150)))", 2),
        ("asyncio.run(eagerly(x=1))", 1),
        ("around(x=1)", 1),
    ],
)
def test_the_job_is_cancelled_and_gone(installed: tuple[FakeVendor, Distributions], call: str, jobs: int) -> None:
    vendor, fakes = installed
    process = started(fakes, call)
    until(lambda: vendor.live() == jobs)
    until(lambda: vendor.calls()["list"] > 0)
    os.kill(process.pid, signal.SIGINT)
    out, err = ended(process)
    assert out == "interrupted"
    assert "cancelling" in err
    assert "job" in err
    assert not vendor.live()
    assert len(vendor.jobs()) == jobs
    assert "was never" not in err
    assert "destroyed" not in err


def test_a_second_one_leaves_at_once_and_says_what_may_still_run(installed: tuple[FakeVendor, Distributions]) -> None:
    vendor, fakes = installed
    vendor.faults.add(FaultKind.LINGERING, seconds=10_000)
    process = started(fakes, "endless(x=1)")
    until(lambda: vendor.live() == 1)
    until(lambda: vendor.calls()["list"] > 0)
    os.kill(process.pid, signal.SIGINT)
    until(lambda: vendor.calls()["cancel"] > 0)
    os.kill(process.pid, signal.SIGINT)
    out, err = ended(process)
    assert out == "interrupted"
    [made] = vendor.jobs()
    assert f"job {made.name} of interrupted.endless on vendor may still run" in err
    assert "destroyed" not in err


def test_a_job_that_is_left_to_itself_goes_on(installed: tuple[FakeVendor, Distributions]) -> None:
    vendor, fakes = installed
    process = started(fakes, "endless(x=1)", "{'detach': True}")
    until(lambda: vendor.live() == 1)
    until(lambda: vendor.calls()["list"] > 0)
    os.kill(process.pid, signal.SIGINT)
    out, _ = ended(process)
    assert out == "interrupted"
    assert vendor.live() == 1
    assert not vendor.calls()["cancel"]


def test_a_daemon_thread_that_waits_when_the_process_ends(installed: tuple[FakeVendor, Distributions]) -> None:
    vendor, fakes = installed
    call = "threading.Thread(target=endless, kwargs={'x': 1}, daemon=True).start(); sys.stdin.read()"
    program = textwrap.dedent(PROGRAM).replace("CALL", call).replace("SETTINGS", "{}")
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        env=fakes.environment(FLYTEPATH_SECRET_VENDOR_TOKEN=TOKEN),
        cwd=fakes.work,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: vendor.live() == 1)
    until(lambda: vendor.calls()["list"] > 0)
    _, err = process.communicate("", timeout=DEADLINE)
    assert process.returncode == 0, err
    assert not vendor.live() or "may still run" in err
