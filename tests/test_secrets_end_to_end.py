"""No byte that a run leaves behind, and nothing that any command shows, holds the value of a secret."""

from __future__ import annotations

import base64
import json
import os
import pickle
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from warm_processes import WarmPython

#: Far more than any of this takes; reaching it is a failure.
DEADLINE = 120.0

VARIABLE, FILE, TOKEN, UNASKED = "cAnary/one\"'&<1é", "cAnaryTwo22\nsecond-line-of-it-22", "cAnary+Three=", "cAnary4444"
CANARIES = (VARIABLE, *FILE.split("\n"), TOKEN, UNASKED)

FLOW = """
    from __future__ import annotations

    import base64, html, json, logging, multiprocessing, os, signal, subprocess, sys, threading, time
    from pathlib import Path
    from typing import Annotated

    from flytepath import Deck, Retry, Secret, current_context, dynamic, eager, map_task, task, workflow

    KEY = Secret("db", "password")
    TOKEN = Secret("api", "token", env_var="TOKEN")
    CERTIFICATE = Secret("tls", "certificate", mount_requirement=Secret.MountType.FILE, scheme="file")
    ALL = [KEY, TOKEN, CERTIFICATE]


    def shout() -> str:
        secrets = current_context().secrets
        key, token = secrets.get("db", "password"), os.environ["TOKEN"]
        certificate = Path(secrets.get_secrets_file("tls", "certificate")).read_text()
        for value in (key, token, certificate):
            print(value, repr(value), json.dumps([value]), html.escape(value))
            print(base64.b64encode(f"user:{value}".encode()).decode(), value.encode().hex())
            logging.getLogger("anything").warning("failed with %s", value)
            for part in (value[:3], value[3:]):
                sys.stdout.write(part)
                sys.stdout.flush()
            print()
            sys.stdout.write("\\n".join(value))
            print()
        print(dict(os.environ), secrets, current_context())
        listing = 'echo "$TOKEN"; echo "$TOKEN" >&2; printenv; cat "$FLYTEPATH_SECRETS_MOUNTED/tls/certificate"'
        subprocess.run(["sh", "-c", listing], check=True)
        os.write(2, key.encode("utf-16-le"))
        thread = threading.Thread(target=lambda: print(current_context().secrets.get("db", "password")))
        thread.start()
        thread.join()
        Deck("mine", f"<b>{key}</b> {html.escape(token)}")
        current_context().default_deck.append(f"{certificate} {key}")
        return key + token + certificate


    @task(secret_requests=ALL, enable_deck=True)
    def leaks(n: int) -> int:
        return len(shout()) * 0 + n


    @task(secret_requests=ALL, cache=True, cache_version="1")
    def cached(n: int) -> int:
        shout()
        return n


    @task(secret_requests=ALL, retries=1)
    def fails(n: int) -> int:
        everything = shout()
        try:
            raise KeyError(everything)
        except KeyError as error:
            error.add_note(everything)
            raise RuntimeError(f"cannot log in with {everything}", dict(os.environ)) from error
        return n


    @task(secret_requests=ALL, retries=Retry(0, system=0))
    def dies(n: int) -> int:
        shout()
        print("the last words", current_context().secrets.db.password, flush=True)
        os.abort()
        return n


    @task(secret_requests=ALL, timeout=1)
    def hangs(n: int) -> int:
        shout()
        time.sleep(100)
        return n


    def child() -> None:
        print(current_context().secrets.get("late", "one"))
        print(os.environ["TOKEN"], flush=True)


    @task(secret_requests=ALL)
    def forks(n: int) -> int:
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        assert process.exitcode == 0
        return n


    @task
    def unasked(n: int) -> int:
        print("before")
        print(current_context().secrets.get("late", "one"))
        return n


    @dynamic(secret_requests=ALL)
    def grows(n: int) -> int:
        shout()
        return cached(n=n)


    @eager(secret_requests=ALL)
    async def asks(n: int) -> int:
        shout()
        return leaks(n=n)


    @task(secret_requests=[KEY], retries=1)
    def preempted(n: int) -> int:
        def hook() -> None:
            raise RuntimeError(f"not saved with {key}")

        key = current_context().secrets.get("db", "password")
        current_context().checkpoint.on_preemption(hook)
        if current_context().attempt == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        return n


    @workflow
    def told_to_go(n: int = 1) -> int:
        return preempted(n=n)


    def freeze_the_filter() -> None:
        own = os.stat(1).st_ino
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if b"redaction.py" in (entry / "cmdline").read_bytes():
                    if any(link.stat().st_ino == own for link in (entry / "fd").iterdir()):
                        os.kill(int(entry.name), signal.SIGSTOP)
                        thaw = f"sleep 1; kill -CONT {entry.name}"
                        subprocess.Popen(["sh", "-c", thaw], start_new_session=True, stdout=-3, stderr=-3)
                        return
            except OSError:
                continue
        raise AssertionError("there is no filter")


    @task(secret_requests=[KEY], retries=Retry(0, system=0))
    def slow_filter(n: int) -> int:
        freeze_the_filter()
        print("the last words", current_context().secrets.db.password, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        return n


    @workflow
    def frozen(n: int = 1) -> int:
        return slow_filter(n=n)


    client: dict[str, str] = {}


    @task(secret_requests=[KEY])
    def opens(n: int) -> int:
        client["header"] = f"bearer {current_context().secrets.get('db', 'password')}"
        return os.getpid()


    @task
    def uses(n: int) -> int:
        print("header", client.get("header"))
        return os.getpid()


    @task
    def loaded(n: int) -> list[str]:
        print("no secret")
        return [name for name in sys.modules if "secrets" in name or name.endswith("log_filter")]


    @workflow
    def warm(n: int = 1) -> list[int]:
        first = opens(n=n)
        return [first, uses(n=first)]


    @workflow
    def plain(n: int = 1) -> list[str]:
        return loaded(n=n)


    @workflow
    def well(n: int = 1) -> list[int]:
        return [cached(n=leaks(n=n)), unasked(n=n), forks(n=n), grows(n=n), asks(n=n)]


    @workflow
    def many(n: list[int] = [1, 2, 3]) -> list[int]:
        return map_task(cached)(n=n)


    @workflow
    def badly(n: int = 1) -> int:
        return fails(n=n)


    @workflow
    def dead(n: int = 1) -> int:
        return dies(n=n)


    @workflow
    def late(n: int = 1) -> int:
        return hangs(n=n)


    @task(secret_requests=[KEY])
    def gives(n: int) -> str:
        return "out: " + current_context().secrets.get("db", "password")


    @workflow
    def given(n: int = 1) -> str:
        return gives(n=n)


    @task(secret_requests=[Secret("db", "nowhere")], retries=2)
    def misses(n: int) -> int:
        print("it ran")
        return n


    @workflow
    def missing(n: int = 1) -> int:
        return misses(n=n)


    @task(secret_requests=[Secret("own", "key", scheme="file")])
    def own(n: int) -> int:
        return len(current_context().secrets.get("own", "key")) + n


    @workflow
    def whose(n: int = 0) -> int:
        return own(n=n)
"""


class Machine:
    """A home, a folder with the flow and one with secrets, and the command line."""

    def __init__(self, folder: Path, warm: WarmPython) -> None:
        self.warm = warm
        self.folder, self.home, self.secrets = folder, folder / "home", folder / "secrets"
        (folder / "flow.py").write_text(textwrap.dedent(FLOW), encoding="utf-8")
        self.put("tls/certificate", FILE)
        clean = {name: text for name, text in os.environ.items() if not name.startswith(("FLYTEPATH_SECRET", "_FSEC_"))}
        self.environment = {
            **clean,
            "FLYTEPATH_HOME": str(self.home),
            "FLYTEPATH_SECRETS_FOLDER": str(self.secrets),
            "FLYTEPATH_SECRET_DB_PASSWORD": VARIABLE,
            "FLYTEPATH_SECRET_API_TOKEN": TOKEN,
            "FLYTEPATH_SECRET_LATE_ONE": UNASKED,
            "COLUMNS": "400",
        }

    def put(self, name: str, content: str) -> None:
        path = self.secrets / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o600)

    def flytepath(self, *words: str) -> subprocess.CompletedProcess[str]:
        errors = "replace"  # a task writes bytes that are no text
        return self.warm.run("flytepath", words, cwd=self.folder, env=self.environment, timeout=DEADLINE, errors=errors)

    def shown(self, execution: str) -> str:
        """All that the commands about an execution show."""
        told = []
        for words in (["show"], ["show", "--json"], ["logs"], ["explain", "--json"]):
            done = self.flytepath("executions", words[0], execution, *words[1:])
            told.append(done.stdout + done.stderr)
        return "".join(told)

    def logs(self, execution: str) -> str:
        return self.flytepath("executions", "logs", execution).stdout


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, warm: WarmPython) -> Machine:
    return Machine(tmp_path_factory.mktemp("machine"), warm)


def disguises(value: str) -> Iterator[bytes]:
    """What a value may look like where it was kept."""
    data = value.encode()
    yield from (data, value.encode("utf-16-le"), data.hex().encode(), zlib.compress(data)[2:-4])
    yield from (json.dumps(value)[1:-1].encode(), pickle.dumps(value)[15:-4] or data)
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + data)
        yield encoded[(0, 2, 3)[before] : 4 * ((before + len(data)) // 3)]


def traces(data: bytes) -> list[bytes]:
    flat = data.translate(None, b"\r\n")
    return [form for value in CANARIES for form in disguises(value) if form in data or form in flat]


def everything(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every byte below the home, and every value of the database as it is and decompressed."""
    for path in sorted(home.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield str(path), path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("store.db", "store.db-wal"):
            if (home / name).exists():
                shutil.copy(home / name, folder)
        with closing(sqlite3.connect(Path(folder) / "store.db")) as database:
            yield from of_tables(database)


def of_tables(database: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
        for row in database.execute(f'select * from "{table}"'):
            for value in row:
                data = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
                yield table, data
                for wbits in (15, -15, 31):
                    with suppress(zlib.error):
                        yield table, zlib.decompress(data, wbits)


def of(done: subprocess.CompletedProcess[str]) -> str:
    """The execution that a command has run."""
    found = re.search(r"\bexecution (\w+)", done.stdout + done.stderr)
    assert found, done.stdout + done.stderr
    return found[1]


def nothing_is_left(machine: Machine) -> None:
    found = {place: forms for place, data in everything(machine.home) if (forms := traces(data))}
    assert not found
    assert not list(machine.home.rglob(".secrets"))


def filters() -> list[str]:
    """The processes that keep secrets out of logs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"secrets/redaction.py" in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("name", ["well", "many"])
def test_runs_that_end_well_leave_no_value_behind(machine: Machine, name: str) -> None:
    done = machine.flytepath("run", "flow.py", name)
    assert done.returncode == 0, done.stdout + done.stderr
    told = machine.shown(of(done))
    assert not traces((done.stdout + done.stderr + told).encode())
    for mark in ("[secret db.password]", "[secret api.token]", "[secret tls.certificate]"):
        assert mark in told
    decks = machine.folder / f"decks-{name}"
    machine.flytepath("executions", "deck", of(done), "--out", str(decks))
    assert not any(traces(path.read_bytes()) for path in decks.rglob("*.html"))
    nothing_is_left(machine)


def test_a_deck_holds_marks_in_place_of_values(machine: Machine) -> None:
    done = machine.flytepath("run", "flow.py", "well", "--n", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    blobs = [path.read_bytes() for path in machine.home.rglob("*") if path.is_file()]
    assert any(b"<b>[secret db.password]</b> [secret api.token]" in blob for blob in blobs)


@pytest.mark.parametrize("name", ["badly", "dead", "late"])  # a failure, a crash, a timeout
def test_runs_that_end_badly_leave_no_value_behind(machine: Machine, name: str) -> None:
    done = machine.flytepath("run", "flow.py", name)
    assert done.returncode == 1, done.stdout + done.stderr
    told = machine.shown(of(done))
    assert not traces((done.stdout + done.stderr + told).encode())
    assert "[secret db.password]" in done.stdout + done.stderr
    if name == "dead":  # and what came last is there, though the process was killed under it
        assert "the last words [secret db.password]" in machine.logs(of(done))
        assert "Fatal Python error: Aborted" in machine.logs(of(done))
    nothing_is_left(machine)


def test_the_last_words_of_a_killed_worker_are_waited_for(machine: Machine) -> None:
    done = machine.flytepath("run", "flow.py", "frozen")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the last words [secret db.password]" in machine.logs(of(done))
    assert "the last words [secret db.password]" in machine.shown(of(done)).rpartition("Error in")[2]


def test_an_attempt_that_is_preempted_reports_no_value(machine: Machine) -> None:
    done = machine.flytepath("run", "flow.py", "told_to_go")
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout + done.stderr + machine.shown(of(done))
    assert "not saved with [secret db.password]" in told
    assert not traces(told.encode())
    nothing_is_left(machine)


def test_an_error_in_the_engines_process_holds_no_value(machine: Machine) -> None:
    done = machine.flytepath("run", "--in-process", "flow.py", "badly")
    told = machine.shown(of(done))
    assert "cannot log in with [secret db.password]" in told
    assert not traces(told.encode())
    nothing_is_left(machine)


def test_a_worker_keeps_out_what_an_earlier_attempt_left_in_it(machine: Machine) -> None:
    done = machine.flytepath("run", "--json", "flow.py", "warm")
    view = json.loads(done.stdout)
    first, second = view["outputs"]["o0"]["data"]
    assert first == second, "the filter must not cost the worker its next attempt"
    assert "header bearer [secret db.password]" in machine.logs(view["id"])
    nothing_is_left(machine)


def test_attempts_without_secrets_load_nothing_for_them(machine: Machine) -> None:
    view = json.loads(machine.flytepath("run", "--json", "flow.py", "plain").stdout)
    ours = {name for name in view["outputs"]["o0"]["data"] if name.startswith("flytepath.")}
    rooms = {f"flytepath.engine.secrets{room}" for room in ("", ".given", ".known")}
    assert ours <= {*rooms, "flytepath.plugin.secrets"}
    assert "no secret" in machine.logs(view["id"])


def test_what_was_not_asked_for_beforehand_is_kept_out_too(machine: Machine) -> None:
    done = machine.flytepath("run", "flow.py", "well", "--n", "5")
    assert "before\n" in machine.logs(of(done))
    assert "[secret late.one]" in machine.logs(of(done))


def test_an_output_is_the_tasks_own_word(machine: Machine, tmp_path: Path) -> None:
    apart = Machine(tmp_path, machine.warm)
    done = apart.flytepath("run", "--json", "flow.py", "given")
    assert json.loads(done.stdout)["outputs"]["o0"]["data"] == f"out: {VARIABLE}"


def test_a_log_is_without_values_while_it_grows(tmp_path: Path, warm: WarmPython) -> None:
    machine = Machine(tmp_path, warm)
    flow = machine.folder / "flow.py"
    flow.write_text(flow.read_text().replace("timeout=1", "timeout=60").replace("time.sleep(100)", "wait()") + WAIT)
    running = subprocess.Popen(
        [sys.executable, "-m", "flytepath", "run", "flow.py", "late"],
        cwd=machine.folder,
        env=machine.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    end = time.monotonic() + DEADLINE
    try:
        while not list(machine.home.glob("logs/*/*/*.log")) or not (machine.folder / "waits").exists():
            assert time.monotonic() < end and running.poll() is None
            time.sleep(0.02)
        [log] = machine.home.glob("logs/*/*/*.log")
        while b"[secret tls.certificate]" not in log.read_bytes():
            assert time.monotonic() < end
            time.sleep(0.02)
        assert not traces(log.read_bytes())
        [file] = machine.home.glob("attempts/*/*/*/.secrets/tls/certificate")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == stat.S_IMODE(file.parent.parent.stat().st_mode) == 0o700
        places = {str(path) for path in machine.home.rglob("*") if path.is_file() and traces(path.read_bytes())}
        assert places == {str(file)}
        assert not any(traces(Path(f"/proc/{pid}/environ").read_bytes()) for pid in filters())
    finally:
        (machine.folder / "go").touch()
        told, _ = running.communicate(timeout=DEADLINE)
    assert running.returncode == 0, told
    assert not traces(told)
    nothing_is_left(machine)


WAIT = """

def wait() -> None:
    folder = Path(os.environ["FLYTEPATH_HOME"]).parent
    (folder / "waits").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)
"""


def test_a_missing_secret_is_an_error_before_the_body_runs(machine: Machine) -> None:
    done = machine.flytepath("run", "--json", "flow.py", "missing")
    assert done.returncode == 1
    view = json.loads(done.stdout)
    assert view["error"]["code"] == "FP-SECRET-MISSING"
    assert view["error"]["kind"] == "user"
    assert "FLYTEPATH_SECRET_DB_NOWHERE" in view["error"]["expected"]
    told = machine.shown(view["id"])
    assert "it ran" not in told
    assert "attempt 2" not in told, "no retry can help"


def test_direct_calls_hand_over_the_same_and_keep_nothing(machine: Machine) -> None:
    program = """
        import os, flow, pathlib
        assert flow.leaks(n=2) == 2 and flow.cached(n=2) == 2 and flow.well(n=1)[0] == 1
        assert "TOKEN" not in os.environ and "FLYTEPATH_SECRETS_MOUNTED" not in os.environ
        try:
            flow.misses(n=1)
        except ValueError as error:
            print(type(error).__name__, error.code)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=machine.folder,
        env=machine.environment,
        capture_output=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"SecretNotFoundError FP-SECRET-MISSING\n")
    nothing_is_left(machine)


def test_one_tenant_is_never_given_what_is_anothers(machine: Machine) -> None:
    machine.put("vision/production/own/key", "x" * 10)
    machine.put("speech/production/own/key", "y" * 20)
    for project, length in (("vision", 10), ("speech", 20), ("vision", 10)):
        words = ["--project", project, "--domain", "production", "--json"]
        done = machine.flytepath("run", *words, "flow.py", "whose", "--n", str(length))
        assert json.loads(done.stdout)["outputs"]["o0"]["data"] == 2 * length, done.stdout + done.stderr
    done = machine.flytepath("run", "--project", "text", "--domain", "production", "--json", "flow.py", "whose")
    assert json.loads(done.stdout)["error"]["code"] == "FP-SECRET-MISSING"


def test_no_filter_outlives_its_worker(machine: Machine) -> None:
    before = set(filters())
    assert machine.flytepath("run", "flow.py", "many", "--n", "[7]").returncode == 0
    end = time.monotonic() + DEADLINE
    while set(filters()) - before:
        assert time.monotonic() < end
        time.sleep(0.02)
