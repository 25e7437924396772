"""A worker elsewhere, as the process that a backend starts: what it takes, what it leaves, and how it ends."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flytepath.compiler.tasks import compile_task
from flytepath.model.facts import Blob
from flytepath.model.identity import Tenant
from flytepath.model.literal import Literal
from flytepath.model.messages import PROTOCOL_VERSION, AttemptErred, AttemptFacts, AttemptOutcome, RemoteAttempts
from flytepath.model.types import INTEGER
from flytepath.store.blobs import BlobFolder
from flytepath.store.outcomes import outcomes_at

SECONDS = 60.0
CODE = """
    import os
    import subprocess
    import sys
    import time
    from pathlib import Path

    from flytepath import Deck, current_context, task
    from remote_user_part import twice


    @task
    def double(x: int) -> int:
        return twice(x)

    @task
    def fails(x: int) -> int:
        raise ValueError(f"no {x}")

    @task
    def lost(x: int) -> int:
        return x

    @task
    def closes(x: int) -> int:
        sys.stdout.close()
        sys.stderr.close()
        raise ValueError("in silence")

    @task
    def starts(x: int) -> int:
        code = f"from remote_user_part import twice; print(twice({x}))"
        return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd="/").stdout)

    @task(enable_deck=True)
    def waits(x: int) -> int:
        def saves():
            Deck("last", "<p>saved</p>")
        current_context().checkpoint.on_preemption(saves)
        Deck("first", "<p>begun</p>")
        Path(os.environ["WAITS"]).touch()
        time.sleep(600)
        return x

    @task
    def goes_on(x: int) -> int:
        checkpoint = current_context().checkpoint
        state = checkpoint.load()
        if state is None:
            checkpoint.save({"step": x}, step=1)
            Path(os.environ["WAITS"]).touch()
            time.sleep(600)
        return state["step"]

    @task
    def leaves(x: int) -> int:
        os.chdir("/")
        (Path(current_context().working_directory) / "large").write_text("x" * 1000)
        return x
"""


@dataclass
class Elsewhere:
    """A storage, code in it, and workers that are started on it."""

    folder: Path
    blobs: BlobFolder
    module: Any
    bundle: Blob

    def given(self, task: str, *values: int, **changes: Any) -> str:
        """The blob of attempts of a task, one for each value."""
        tenant = Tenant("default", "development")
        spec = compile_task(getattr(self.module, task), tenant, self.blobs)
        if "entry" in changes:
            spec = spec.model_copy(update={"body": spec.body.model_copy(update={"entry": changes.pop("entry")})})
        facts: dict[str, Any] = {
            "protocol": PROTOCOL_VERSION,
            "project": "default",
            "domain": "development",
            "blob_root": str(self.folder / "shared"),
            "bundle": self.bundle,
            "task": spec,
            "attempts": tuple(
                AttemptFacts(
                    execution="x1",
                    node=f"n0/{place}",
                    attempt=1,
                    inputs={"x": Literal.make(INTEGER, value)},
                    working_directory="",
                )
                for place, value in enumerate(values)
            ),
            "outcomes": tuple(str(self.outcome(place)) for place in range(len(values))),
        }
        attempts = RemoteAttempts.model_construct(**{**facts, **changes})
        return self.blobs.put(attempts.model_dump_json(exclude_defaults=True).encode()).uri

    def outcome(self, place: int = 0) -> Path:
        return self.folder / "shared" / "default" / "development" / "outputs" / "x1" / f"n0-{place}" / "1.outcome"

    def start(self, uri: str, *more: str, **variables: str) -> subprocess.Popen[str]:
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.Popen(
            [sys.executable, "-m", "flytepath.worker", "--attempt", uri, *more],
            env={**environment, "TMPDIR": str(scratch), "PYTHONWARNINGS": "error", **variables},
            cwd=self.folder / "image",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, uri: str, *more: str, **variables: str) -> tuple[int, str]:
        """The exit status of a worker, and what it printed; it leaves nothing on its machine."""
        process = self.start(uri, *more, **variables)
        printed, _ = process.communicate(timeout=SECONDS)
        assert not list((self.folder / "scratch").iterdir()), printed
        return process.returncode, printed

    def left(self, place: int = 0) -> AttemptOutcome:
        """The one outcome of an attempt."""
        outcomes = outcomes_at(str(self.outcome(place)))
        result = outcomes.result()
        (one,) = [*([] if result is None else [result]), *outcomes.all_of("errors"), *outcomes.all_of("reports")]
        return AttemptOutcome.model_validate_json(one)

    def error(self, place: int = 0) -> Any:
        outcome = self.left(place).outcome
        assert isinstance(outcome, AttemptErred)
        return outcome.error


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    code, image = tmp_path / "code", tmp_path / "image"
    code.mkdir()
    image.mkdir()
    (code / "remote_user.py").write_text(textwrap.dedent(CODE))
    (code / "remote_user_part.py").write_text("def twice(x):\n    return 2 * x\n")
    (image / "remote_user_part.py").write_text("raise ImportError('an older one, of the image')\n")
    blobs = BlobFolder(tmp_path / "shared", "default", "development")
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in code.iterdir():
            file.write(path, path.name)
    monkeypatch.syspath_prepend(str(code))
    for name in ("remote_user", "remote_user_part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("remote_user")
    for name in ("remote_user", "remote_user_part"):
        monkeypatch.setitem(sys.modules, name, sys.modules[name])
    return Elsewhere(tmp_path, blobs, module, Blob.of(blobs.put_file(archive)))


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_the_code_of_the_bundle_runs_and_not_what_the_image_has(elsewhere: Elsewhere) -> None:
    assert elsewhere.run(elsewhere.given("double", 4)) == (0, "")
    left = elsewhere.left()
    assert left.outcome is not None
    assert left.outcome.type == "attempt_succeeded"
    assert {name: value.data for name, value in left.outcome.outputs.items()} == {"o0": 8}
    assert left.outcome.usage.wall_seconds > 0
    assert left.host


def test_each_item_takes_its_own_place(elsewhere: Elsewhere) -> None:
    uri = elsewhere.given("double", 4, 5, 6)
    assert elsewhere.run(uri, "--item", "2")[0] == 0
    assert not elsewhere.outcome(0).exists()
    assert elsewhere.left(2).outcome.outputs["o0"].data == 12  # type: ignore[union-attr]


@pytest.mark.parametrize("item", ["3", "-1"])
def test_an_item_that_is_not_there_is_refused(elsewhere: Elsewhere, item: str) -> None:
    status, printed = elsewhere.run(elsewhere.given("double", 4, 5, 6), f"--item={item}")
    assert status == 1
    assert "no such item" in printed
    assert item in printed


def test_outputs_that_are_there_are_not_made_again(elsewhere: Elsewhere) -> None:
    uri = elsewhere.given("double", 4)
    assert elsewhere.run(uri)[0] == 0
    before = elsewhere.left()
    status, printed = elsewhere.run(uri)
    assert status == 0
    assert "there already" in printed
    assert elsewhere.left() == before


def test_what_a_task_raises_is_the_users(elsewhere: Elsewhere) -> None:
    status, printed = elsewhere.run(elsewhere.given("fails", 3))
    assert status == 1
    error = elsewhere.error()
    assert (error.kind, error.code, error.message) == ("user", "FP-TASK-FAILED", "ValueError: no 3")
    assert 'File "remote_user.py"' in error.traceback
    assert "no 3" in printed, "its log says it too"


def test_a_module_that_cannot_be_imported_is_the_users_too(elsewhere: Elsewhere) -> None:
    uri = elsewhere.given("double", 3, bundle=None)
    status, _ = elsewhere.run(uri)
    assert status == 1
    error = elsewhere.error()
    assert error.kind == "user"
    assert "remote_user" in error.message


def test_a_task_that_its_module_no_longer_holds_is_told(elsewhere: Elsewhere) -> None:
    status, _ = elsewhere.run(elsewhere.given("double", 3, entry="remote_user:nobody"))
    assert status == 1
    error = elsewhere.error()
    assert "remote_user:nobody" in error.message


def test_a_task_that_closes_its_streams_still_tells_its_error(elsewhere: Elsewhere) -> None:
    status, _ = elsewhere.run(elsewhere.given("closes", 3))
    assert status == 1
    assert elsewhere.error().message == "ValueError: in silence"


def test_processes_that_a_task_starts_find_its_code(elsewhere: Elsewhere) -> None:
    assert elsewhere.run(elsewhere.given("starts", 3))[0] == 0
    assert elsewhere.left().outcome.outputs["o0"].data == 6  # type: ignore[union-attr]


def test_nothing_is_left_on_the_machine(elsewhere: Elsewhere) -> None:
    assert elsewhere.run(elsewhere.given("leaves", 3))[0] == 0


def test_sigterm_leaves_word_and_the_decks(elsewhere: Elsewhere) -> None:
    waits = elsewhere.folder / "waits"
    process = elsewhere.start(elsewhere.given("waits", 3), WAITS=str(waits))
    until(waits.exists)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 143, printed
    error = elsewhere.error()
    assert (error.kind, error.code) == ("preempted", "FP-PREEMPTED")
    names = [report.name for report in elsewhere.left().reports]  # type: ignore[union-attr]
    assert names[-2:] == ["first", "last"]
    assert not list((elsewhere.folder / "scratch").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_attempt_that_is_started_again_elsewhere_goes_on_from_what_it_saved(
    elsewhere: Elsewhere, number: signal.Signals
) -> None:
    place = elsewhere.folder / "shared" / "default" / "development" / "checkpoints" / "x1" / "n0" / "1"
    uri = elsewhere.given("goes_on", 7, attempts=(_with_checkpoints(place),))
    flag = elsewhere.folder / "waits"
    first = elsewhere.start(uri, WAITS=str(flag))
    until(flag.exists)
    first.send_signal(number)
    first.communicate(timeout=SECONDS)
    again = elsewhere.start(uri, WAITS=str(flag))
    out, err = again.communicate(timeout=SECONDS)
    assert again.returncode == 0, out + err
    left = outcomes_at(str(elsewhere.outcome())).result()
    assert left is not None and b"7" in left


def _with_checkpoints(place: Path) -> AttemptFacts:
    return AttemptFacts(
        execution="x1",
        node="n0/0",
        attempt=1,
        inputs={"x": Literal.make(INTEGER, 7)},
        working_directory="",
        checkpoint_destination=str(place),
    )


# --- what it is given --------------------------------------------------------------------------------------------


def test_a_damaged_attempt_is_not_run(elsewhere: Elsewhere) -> None:
    uri = elsewhere.given("double", 4)
    path = Path(uri.removeprefix("file://"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b'"x1"', b'"x2"'))
    status, printed = elsewhere.run(uri)
    assert status == 1
    assert "damaged" in printed
    assert not elsewhere.outcome().exists()


def test_an_attempt_of_another_protocol_is_not_run(elsewhere: Elsewhere) -> None:
    status, printed = elsewhere.run(elsewhere.given("double", 4, protocol=PROTOCOL_VERSION + 1))
    assert status == 1
    assert f"expected: {PROTOCOL_VERSION}" in printed
    assert f"actual: {PROTOCOL_VERSION + 1}" in printed
    assert "image" in printed


@pytest.mark.parametrize("content", [b"{half", b"[]", b"null", json.dumps({"protocol": PROTOCOL_VERSION}).encode()])
def test_what_is_no_attempt_is_not_run(elsewhere: Elsewhere, content: bytes) -> None:
    status, printed = elsewhere.run(elsewhere.blobs.put(content).uri)
    assert status == 1
    assert "cannot be understood" in printed
    assert "Traceback" not in printed


def test_a_bundle_that_is_damaged_is_nobodys_fault(elsewhere: Elsewhere) -> None:
    path = Path(elsewhere.bundle.uri.removeprefix("file://"))
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[40] ^= 255
    path.write_bytes(bytes(content))
    status, _ = elsewhere.run(elsewhere.given("double", 4))
    assert status == 1
    error = elsewhere.error()
    assert error.kind == "system"


def test_a_bundle_that_is_gone_is_nobodys_fault(elsewhere: Elsewhere) -> None:
    Path(elsewhere.bundle.uri.removeprefix("file://")).unlink()
    assert elsewhere.run(elsewhere.given("double", 4))[0] == 1
    assert elsewhere.error().kind == "system"


@pytest.mark.proof
def test_an_attempt_that_cannot_be_read_is_asked_for_again_and_then_left(elsewhere: Elsewhere) -> None:
    status, printed = elsewhere.run(elsewhere.given("double", 4).replace("/sha256/", "/sha257/"))
    assert status == 75
    assert printed.count("tried again") == 3
    assert "Traceback" not in printed


@pytest.mark.proof
def test_outputs_that_cannot_be_kept_are_tried_again_and_then_left(elsewhere: Elsewhere) -> None:
    outcome = elsewhere.outcome()
    outcome.parent.mkdir(parents=True)
    outcome.write_text("in the way")
    uri = elsewhere.given("double", 4)
    status, printed = elsewhere.run(uri)
    assert status == 75
    assert "tried again" in printed
