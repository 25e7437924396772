"""Workers and their pool: attempts end with what happened to them, apart from each other, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath.engine.local.output import LogTail
from flytepath.engine.local.processors import Processors, cores_of
from flytepath.engine.local.worker_pool import WorkerPool
from flytepath.engine.local.workers import WorkerProcess, WorkerSetting
from flytepath.engine.ports import AttemptResult
from flytepath.errors import ConfigError, WorkerError
from flytepath.model.events import ErrorRecord
from flytepath.model.messages import AttemptErred, AttemptSucceeded, RunAttempt
from flytepath.model.resources import Resources
from flytepath.model.task import Body, Interface, TaskSpec, Variable
from flytepath.model.types import INTEGER, LiteralType

HEADER = """
import ctypes, os, signal, subprocess, sys, threading, time
from flytepath import current_context, task
"""
TEXT = LiteralType("string")


def alive(command: bytes = b"flytepath.worker") -> set[str]:
    """The processes below this one with ``command`` in their command line."""
    found, parents = set(), {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[entry.name] = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            if command in (entry / "cmdline").read_bytes():
                found.add(entry.name)
        except OSError:
            continue

    def is_ours(pid: str) -> bool:
        while pid in parents:
            if pid == str(os.getpid()):
                return True
            pid = parents[pid]
        return False

    return {pid for pid in found if is_ours(pid)}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert not alive()


class Bench:
    """A bundle of code, and a pool that runs its tasks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code = folder / "code"
        self.code.mkdir()
        self.environment: dict[str, Any] = {"home": folder / "home", "slots": 2, "blob_root": str(folder / "blobs")}
        self.number = 0

    def write(self, source: str, name: str = "flow") -> None:
        (self.code / f"{name}.py").write_text(HEADER + textwrap.dedent(source))

    def request(self, name: str, **facts: Any) -> RunAttempt:
        self.number += 1
        place = {key: facts.pop(key) for key in ("project", "domain", "code_path", "log_path") if key in facts}
        outputs = (Variable(name="o0", type=facts.pop("gives")),) if "gives" in facts else ()
        task = TaskSpec(name=name, interface=Interface(outputs=outputs), body=Body(entry=f"flow:{name}"), **facts)
        known = {
            "project": "p",
            "domain": "d",
            "code_path": str(self.code),
            "log_path": str(self.folder / "logs" / f"{self.number}.log"),
        }
        work = self.folder / "work" / str(self.number)
        node = f"n{self.number}"
        return RunAttempt(execution="x", node=node, attempt=1, task=task, working_directory=str(work), **known | place)

    def use(self, work: Callable[[WorkerPool], Awaitable[Any]], **changes: Any) -> Any:
        async def run() -> Any:
            pool = WorkerPool(**self.environment | changes)
            try:
                return await work(pool)
            finally:
                await pool.close()

        return asyncio.run(asyncio.wait_for(run(), 120))

    def run(self, *requests: RunAttempt, **changes: Any) -> list[AttemptResult]:
        """One after the other, so that a warm worker runs them all."""

        async def work(pool: WorkerPool) -> list[AttemptResult]:
            return [await pool.run(request, lambda _: None) for request in requests]

        return self.use(work, **changes)  # type: ignore[no-any-return]

    def values(self, *requests: RunAttempt, **changes: Any) -> list[Any]:
        found = []
        for result in self.run(*requests, **changes):
            assert isinstance(result.message, AttemptSucceeded), result.message
            found.append(result.message.outputs["o0"].data)
        return found

    def error(self, request: RunAttempt, **changes: Any) -> ErrorRecord:
        """The error of an attempt; afterwards another one must run on the same pool as if nothing had been."""
        result, after = self.run(request, self.request("fine", gives=INTEGER), **changes)
        assert isinstance(after.message, AttemptSucceeded), after.message
        assert isinstance(result.message, AttemptErred), result.message
        return result.message.error


FINE = """
@task
def fine() -> int:
    return 1
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


# --- beginnings ---


def starting(folder: Path, python: str = sys.executable) -> Awaitable[WorkerProcess]:
    setting = WorkerSetting("p", "d", str(folder), python)
    return WorkerProcess.start(setting, home=folder / "home", blob_root=str(folder / "blobs"), terminate_seconds=1)


@pytest.mark.parametrize("after", [0.0, 0.005, 0.02, 0.1])
def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path, after: float) -> None:
    async def cancelled() -> None:
        task = asyncio.ensure_future(starting(tmp_path))
        await asyncio.sleep(after)
        task.cancel()
        try:
            worker = await task
        except asyncio.CancelledError:
            return
        await worker.close()

    asyncio.run(cancelled())
    assert not alive()


def test_an_interpreter_that_is_not_there_is_an_error_with_its_place(tmp_path: Path) -> None:
    async def start() -> None:
        await starting(tmp_path, "/no/such/python")

    with pytest.raises(WorkerError, match="cannot be started") as caught:
        asyncio.run(start())
    assert caught.value.place == "/no/such/python"


def test_a_worker_that_does_not_come_up_is_reported_with_what_it_printed(tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho no module named flytepath >&2\nexit 1\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)

    async def start() -> None:
        await starting(tmp_path, str(fake))

    with pytest.raises(WorkerError, match="did not come up") as caught:
        asyncio.run(start())
    assert "no module named flytepath" in str(caught.value.actual)


def test_a_variable_that_is_no_number_of_seconds_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("soon", "-1", "nan"):
        monkeypatch.setenv("FLYTEPATH_TERMINATION_SECONDS", text)
        with pytest.raises(ConfigError, match="number of seconds"):
            WorkerPool(**bench.environment)


# --- what is printed ---


def test_a_warm_worker_keeps_its_attempts_output_apart_and_in_order(bench: Bench) -> None:
    bench.write("""
        @task
        def say(of: str = "") -> int:
            print("out"); print("err", file=sys.stderr); os.write(1, b"raw\\n"); os.system("echo child")
            print(current_context().node_path, end="")
            return os.getpid()
        """)
    requests = [bench.request("say", gives=INTEGER) for _ in range(2)]
    first, second = bench.values(*requests)
    assert first == second
    logs = [Path(request.log_path).read_text() for request in requests]
    assert logs == ["out\nerr\nraw\nchild\nn1", "out\nerr\nraw\nchild\nn2"]


def test_the_size_of_a_log_is_told_and_an_empty_one_is_gone(bench: Bench) -> None:
    bench.write(FINE + "@task\ndef say() -> None:\n    print('ten bytes')\n")
    requests = [bench.request("say"), bench.request("fine", gives=INTEGER)]
    assert [result.printed for result in bench.run(*requests)] == [10, 0]
    assert [Path(request.log_path).exists() for request in requests] == [True, False]


def test_what_is_printed_can_be_read_while_the_attempt_runs(bench: Bench) -> None:
    bench.write("""
        @task
        def say() -> None:
            print("half a line and", end=" ", flush=True)
            while not os.path.exists(os.environ["GO"]):
                time.sleep(0.01)
            print("the rest")
        """)
    go = bench.folder / "go"
    request = bench.request("say", variables={"GO": str(go)})

    async def work(pool: WorkerPool) -> tuple[str, AttemptResult]:
        running = asyncio.create_task(pool.run(request, lambda _: None))
        tail, seen = LogTail(Path(request.log_path)), []
        await until(lambda: bool(seen.append(tail.read()) or "".join(seen)))
        go.touch()
        result = await running
        rest = tail.read()
        tail.close()
        return "".join(seen) + "|" + rest, result

    text, result = bench.use(work)
    assert text == "half a line and |the rest\n"
    assert result.printed == len(text) - 1


def test_an_attempt_of_some_length_that_prints_nothing_leaves_no_log(bench: Bench) -> None:
    bench.write(FINE + "@task\ndef wait() -> None:\n    time.sleep(0.3)\n")
    requests = [bench.request("wait"), bench.request("fine", gives=INTEGER)]
    assert [result.printed for result in bench.run(*requests)] == [0, 0]
    assert not any(Path(request.log_path).exists() for request in requests)


def test_what_is_printed_between_attempts_is_nobodys_and_nothing_of_it_is_left(bench: Bench) -> None:
    bench.write(
        FINE
        + "def late() -> None:\n    time.sleep(0.1); print('late', flush=True)\n"
        + "@task\ndef leave() -> None:\n    threading.Thread(target=late, daemon=True).start()\n"
    )

    async def work(pool: WorkerPool) -> AttemptResult:
        await pool.run(bench.request("leave"), lambda _: None)
        own = bench.folder / "home" / "logs" / "workers"
        await until(lambda: any(file.read_text() == "late\n" for file in own.iterdir()))
        return await pool.run(bench.request("fine", gives=INTEGER), lambda _: None)

    assert bench.use(work).printed == 0
    assert not list((bench.folder / "home" / "logs" / "workers").iterdir())


def test_bytes_that_are_no_text_and_surrogates_can_be_printed(bench: Bench) -> None:
    bench.write("@task\ndef say() -> None:\n    os.write(1, b'\\xff\\xfe\\n'); print('\\ud800')\n")
    request = bench.request("say")
    [result] = bench.run(request)
    assert isinstance(result.message, AttemptSucceeded)
    assert Path(request.log_path).read_bytes() == b"\xff\xfe\n\\ud800\n"


def test_streams_that_a_task_closes_or_replaces_are_there_for_the_next(bench: Bench) -> None:
    bench.write("""
        @task
        def close() -> None:
            sys.stdout.close(); os.close(2)
        @task
        def replace() -> None:
            import io
            sys.stdout = sys.stderr = io.StringIO()
        @task
        def say() -> None:
            print("out"); print("err", file=sys.stderr)
        """)
    requests = [bench.request(name) for name in ("close", "say", "replace", "say")]
    results = bench.run(*requests)
    assert all(isinstance(result.message, AttemptSucceeded) for result in results)
    assert Path(requests[1].log_path).read_text() == Path(requests[3].log_path).read_text() == "out\nerr\n"


def test_a_great_deal_of_output_does_not_hold_up_the_engine(bench: Bench) -> None:
    bench.write("@task\ndef say() -> None:\n    for _ in range(100):\n        os.write(1, b'x' * 1_000_000)\n")
    [result] = bench.run(bench.request("say"))
    assert result.printed == 100_000_000


# --- deaths ---


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("os._exit(7)", "exit status 7"),
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("os.killpg(0, signal.SIGABRT)", "SIGABRT"),
        ("os.kill(os.getpid(), 40)", "signal 40"),
    ],
)
def test_a_worker_that_dies_is_a_failure_of_the_system_that_says_how(bench: Bench, body: str, says: str) -> None:
    bench.write(FINE + f"@task\ndef die() -> None:\n    print('last words', flush=True); {body}\n")
    error = bench.error(bench.request("die"), terminate_seconds=1)
    assert (error.kind, error.code) == ("system", "FP-WORKER")
    assert says in error.message
    assert "last words" in error.traceback


def test_a_crash_in_c_shows_where_in_python_it_was(bench: Bench) -> None:
    bench.write(FINE + "@task\ndef die() -> None:\n    ctypes.string_at(0)\n")
    assert 'flow.py", line' in bench.error(bench.request("die")).traceback


@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt()", "__import__('asyncio').CancelledError()"])
def test_whatever_a_task_raises_is_its_own_failure(bench: Bench, error: str) -> None:
    bench.write(FINE + f"@task\ndef fail() -> None:\n    raise {error}\n")
    assert bench.error(bench.request("fail")).kind == "user"


def test_a_child_that_keeps_the_connection_open_does_not_hide_the_death_of_its_parent(bench: Bench) -> None:
    bench.write(FINE + "@task\ndef die() -> None:\n    if os.fork():\n        os._exit(3)\n    time.sleep(600)\n")
    assert "exit status 3" in bench.error(bench.request("die")).message


def test_a_child_that_comes_back_from_the_task_says_nothing(bench: Bench) -> None:
    bench.write(FINE + "@task\ndef split() -> int:\n    return 5 if os.fork() else 6\n")
    assert bench.values(*(bench.request(name, gives=INTEGER) for name in ("split", "fine"))) == [5, 1]


def test_a_task_that_is_not_in_the_bundle_is_a_failure_of_the_system(bench: Bench) -> None:
    bench.write(FINE)
    error = bench.error(bench.request("gone"))
    assert error.kind == "system"
    assert "flow:gone" in error.message


def test_sigterm_from_outside_is_a_preemption(bench: Bench) -> None:
    bench.write("@task\ndef slow() -> None:\n    print(os.getpid(), flush=True); time.sleep(600)\n")
    request = bench.request("slow")

    async def work(pool: WorkerPool) -> AttemptResult:
        running = asyncio.create_task(pool.run(request, lambda _: None))
        log = Path(request.log_path)
        await until(lambda: log.exists() and log.read_text().endswith("\n"))
        os.kill(int(log.read_text()), signal.SIGTERM)
        return await running

    message = bench.use(work).message
    assert isinstance(message, AttemptErred)
    assert (message.error.kind, message.error.code) == ("preempted", "FP-PREEMPTED")


# --- time, memory, processors ---


@pytest.mark.parametrize("handler", ["pass", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"])
def test_a_task_over_its_timeout_is_ended_with_all_it_started(bench: Bench, handler: str) -> None:
    bench.write(
        FINE
        + f"@task\ndef slow() -> None:\n    {handler}\n    subprocess.Popen(['sleep', '98765'])\n    time.sleep(600)\n"
    )
    error = bench.error(bench.request("slow", timeout_seconds=0.5), terminate_seconds=0.5)
    assert (error.kind, error.code) == ("timeout", "FP-TIMEOUT")
    assert not alive(b"98765")


def test_an_attempt_that_is_cancelled_is_ended_before_that_returns(bench: Bench) -> None:
    bench.write("@task\ndef slow() -> None:\n    print('here', flush=True); time.sleep(600)\n")
    request = bench.request("slow")

    async def work(pool: WorkerPool) -> None:
        running = asyncio.create_task(pool.run(request, lambda _: None))
        await until(Path(request.log_path).exists)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not alive()

    bench.use(work)


def test_an_attempt_over_its_memory_is_ended_also_where_a_child_holds_it(bench: Bench) -> None:
    bench.write(
        FINE
        + """
@task
def much() -> None:
    held = bytearray(400_000_000); time.sleep(600)
@task
def child() -> None:
    subprocess.run([sys.executable, '-c', 'held = bytearray(400_000_000); import time; time.sleep(600)'])
"""
    )
    for name in ("much", "child"):
        error = bench.error(bench.request(name, limits=Resources(mem="256Mi")))
        assert (error.kind, error.code) == ("system", "FP-OUT-OF-MEMORY")
        assert "256.0 MiB" in error.message
        assert "Resources(mem=" in str(error.hint)


def test_memory_that_processes_share_counts_once(bench: Bench) -> None:
    bench.write("""
        @task
        def shared() -> int:
            held = bytearray(b"x" * 150_000_000)
            children = [os.fork() for _ in range(1)]
            for _ in range(3):
                if 0 not in children:
                    children.append(os.fork())
            if 0 in children:
                sum(held[:: 4096]); time.sleep(1.5); os._exit(0)
            for child in children:
                os.waitpid(child, 0)
            return 1
        """)
    assert bench.values(bench.request("shared", gives=INTEGER, limits=Resources(mem="400Mi"))) == [1]


def test_the_peak_of_memory_is_that_of_the_attempt(bench: Bench) -> None:
    bench.write(FINE + "@task\ndef much() -> int:\n    return len(bytearray(300_000_000))\n")
    results = bench.run(*(bench.request(name, gives=INTEGER) for name in ("much", "fine")))
    much, fine = (result.message.usage.peak_memory_bytes for result in results)
    assert much > 300_000_000 > fine > 1_000_000


def test_processors_of_children_are_counted(bench: Bench) -> None:
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    bench.write(f"@task\ndef burn() -> None:\n    subprocess.run([sys.executable, '-c', {burn!r}], check=True)\n")
    [result] = bench.run(bench.request("burn"))
    assert result.message.usage.cpu_seconds >= 0.3


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor cannot be bounded to fewer")
def test_a_task_runs_on_as_many_processors_as_it_asked_for_and_the_next_on_all(bench: Bench) -> None:
    bench.write("""
        @task
        def see() -> str:
            return f"{len(os.sched_getaffinity(0))} {os.environ.get('OMP_NUM_THREADS')}"
        """)
    bound = bench.request("see", gives=TEXT, limits=Resources(cpu="500m"))
    told = bench.request("see", gives=TEXT, requests=Resources(cpu="1"), variables={"OMP_NUM_THREADS": "7"})
    free = bench.request("see", gives=TEXT)
    every = f"{len(os.sched_getaffinity(0))} None"
    assert bench.values(bound, told, free) == ["1 1", "1 7", every]


def test_attempts_are_spread_over_the_processors_that_fewest_have() -> None:
    processors = Processors((0, 1, 2, 3))
    first, second = processors.take(2), processors.take(2)
    assert sorted(first + second) == [0, 1, 2, 3]
    processors.give_back(first)
    assert processors.take(2) == first
    assert cores_of(TaskSpec(name="t", interface=Interface())) is None


# --- one attempt after another ---


def test_the_next_attempt_finds_everything_as_the_last_one_did(bench: Bench) -> None:
    bench.write("""
        def seen() -> str:
            names = sorted(name for name in os.environ if not name.startswith("_"))
            return repr((os.getpid(), names, os.environ["PATH"], os.getcwd(), sys.path, os.umask(0o22),
                         signal.getsignal(signal.SIGUSR1), threading.active_count()))
        os.umask(0o22)
        @task
        def see() -> str:
            return seen()
        @task
        def disturb() -> None:
            import tempfile
            os.environ["NEW"] = "1"; os.environ["PATH"] = "/nowhere"; del os.environ["HOME"]
            gone = tempfile.mkdtemp(); os.chdir(gone); os.rmdir(gone)
            sys.path.append("/nowhere"); os.umask(0o77)
            signal.signal(signal.SIGUSR1, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 0.2)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        @task
        def wait() -> str:
            time.sleep(0.4)
            return seen()
        """)
    requests = [bench.request(name, gives=TEXT) for name in ("see", "wait")]
    before, _, after = bench.run(requests[0], bench.request("disturb"), requests[1])
    assert isinstance(before.message, AttemptSucceeded) and isinstance(after.message, AttemptSucceeded)
    assert before.message.outputs["o0"].data == after.message.outputs["o0"].data


@pytest.mark.parametrize(
    "body",
    ["threading.Thread(target=time.sleep, args=(0.5,)).start()", "subprocess.Popen(['sleep', '98765'])"],
)
def test_a_worker_in_which_something_was_left_running_is_not_used_again(bench: Bench, body: str) -> None:
    bench.write(f"@task\ndef leave() -> int:\n    {body}\n    return os.getpid()\n")
    first, second = bench.values(*(bench.request("leave", gives=INTEGER) for _ in range(2)))
    assert first != second
    assert not alive(b"98765")


def test_a_daemon_thread_does_not_cost_the_worker(bench: Bench) -> None:
    thread = "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    bench.write(f"@task\ndef leave() -> int:\n    {thread}\n    return os.getpid()\n")
    first, second = bench.values(*(bench.request("leave", gives=INTEGER) for _ in range(2)))
    assert first == second


def test_a_folder_that_an_attempt_asked_for_is_gone_after_it(bench: Bench) -> None:
    bench.write(
        FINE
        + "@task\ndef use(die: bool = False) -> None:\n    (current_context().working_directory / 'x').touch()\n"
        + "@task\ndef die() -> None:\n    (current_context().working_directory / 'x').touch(); os._exit(1)\n"
    )
    requests = [bench.request("use"), bench.request("die"), bench.request("fine", gives=INTEGER)]
    bench.run(*requests)
    assert not any(Path(request.working_directory).exists() for request in requests)


def test_one_task_after_another_of_the_same_name_is_the_one_that_was_asked_for(bench: Bench) -> None:
    bench.write("@task\ndef see() -> str:\n    return os.environ['WHO']\n")
    requests = [bench.request("see", gives=TEXT, variables={"WHO": who}) for who in ("a", "b", "a")]
    assert bench.values(*requests) == ["a", "b", "a"]


# --- the pool ---


def test_workers_are_shared_only_by_tasks_of_one_tenant_and_code(bench: Bench, tmp_path: Path) -> None:
    bench.write("@task\ndef who() -> int:\n    return os.getpid()\n")
    other = tmp_path / "other"
    other.mkdir()
    (other / "flow.py").write_text((bench.code / "flow.py").read_text())
    places: list[dict[str, str]] = [{}, {}, {"project": "q"}, {"domain": "e"}, {"code_path": str(other)}, {}]
    pids = bench.values(*(bench.request("who", gives=INTEGER, **place) for place in places), slots=9)
    assert pids[0] == pids[1] == pids[5]
    assert len(set(pids)) == 4


def test_the_worker_that_was_not_used_for_longest_goes_first(bench: Bench) -> None:
    bench.write("@task\ndef who() -> int:\n    return os.getpid()\n")
    pids = bench.values(*(bench.request("who", gives=INTEGER, project=name) for name in "aabacb"), slots=2)
    a, again, b, back, _, later = pids
    assert a == again == back
    assert b != later


def test_a_worker_that_dies_while_it_is_idle_is_replaced(bench: Bench) -> None:
    bench.write("@task\ndef who() -> int:\n    return os.getpid()\n")

    async def work(pool: WorkerPool) -> bool:
        first = await pool.run(bench.request("who", gives=INTEGER), lambda _: None)
        assert isinstance(first.message, AttemptSucceeded)
        os.kill(first.message.outputs["o0"].data, signal.SIGKILL)
        await until(lambda: not alive())
        second = await pool.run(bench.request("who", gives=INTEGER), lambda _: None)
        return isinstance(second.message, AttemptSucceeded)

    assert bench.use(work)


class Unbuildable(WorkerError):
    """An environment that cannot be made."""

    kind = "system"
    recoverable = True


@pytest.mark.parametrize(("error", "kind"), [(WorkerError, "user"), (Unbuildable, "system")])
def test_an_environment_that_cannot_be_had_fails_the_attempt_as_its_error_says(
    bench: Bench, error: type[WorkerError], kind: str
) -> None:
    async def python_of(task: TaskSpec) -> str:
        raise error(f"no environment for {task.name}")

    bench.write(FINE)
    record = bench.error(bench.request("other", environment={"packages": ["x"]}), python_of=python_of)
    assert (record.kind, record.recoverable) == (kind, kind == "system")
    assert record.message == "no environment for other"


def test_a_task_is_run_by_the_interpreter_of_its_environment(bench: Bench, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nBY=mine exec {sys.executable} "$@"\n')
    python.chmod(0o755)

    async def python_of(_: TaskSpec) -> str:
        return str(python)

    bench.write("@task\ndef by() -> str:\n    return os.environ.get('BY', 'ours')\n")
    requests = [bench.request("by", gives=TEXT, environment={"packages": ["x"]}), bench.request("by", gives=TEXT)]
    assert bench.values(*requests, python_of=python_of) == ["mine", "ours"]
