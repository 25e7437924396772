"""Files, directories and streams in durable runs: from worker to worker, by content, the same as in a direct call."""

from __future__ import annotations

import runpy
from typing import Any

import pytest

FLOW = """
    import os
    from collections.abc import Iterator
    from dataclasses import dataclass
    from pathlib import Path

    from flytepath import task, workflow
    from flytepath.types.directories import FlyteDirectory
    from flytepath.types.file_formats import CSVFile
    from flytepath.types.files import FlyteFile

    @dataclass
    class Parts:
        files: list[FlyteFile]
        folder: FlyteDirectory | None

    @task
    def write(text: str) -> CSVFile:
        place = Path(os.environ["FLYTEPATH_HOME"]).parent / "always-the-same.csv"
        place.write_text(text)
        return str(place)

    @task
    def shelve(first: CSVFile, second: FlyteFile) -> Parts:
        folder = FlyteDirectory.new("shelf")
        folder.new_dir("empty")
        for number, file in enumerate((first, second)):
            with folder.new_file(f"deep/{number}.txt").open("w") as out, file.open("r") as given:
                out.write(given.read())
        return Parts([first, second], folder)

    @task
    def numbers(parts: Parts) -> Iterator[str]:
        for file in parts.files:
            yield Path(file).read_text()
        for base, path in parts.folder.crawl():
            yield path + Path(base, path).read_text()
        yield str(Path(parts.folder, "empty").is_dir())

    @task
    def joined(lines: Iterator[str]) -> str:
        return f"{len(lines)}: " + " ".join(lines)

    @workflow
    def whole() -> tuple[str, CSVFile]:
        first = write(text="1")
        second = write(text="2")
        first >> second  # both write to the same place
        return joined(lines=numbers(parts=shelve(first=first, second=second))), first

    @task
    def lose() -> list[FlyteFile]:
        return [FlyteFile("/none/at/all.txt")]

    @workflow
    def losing() -> list[FlyteFile]:
        return lose()

    @task
    def failing() -> Iterator[int]:
        yield 1
        raise LookupError("no second")

    @workflow
    def breaking() -> Iterator[int]:
        return failing()
"""

EXPECTED = "5: 1 2 deep/0.txt1 deep/1.txt2 True"


def test_files_pass_from_worker_to_worker_by_content(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTEPATH_HOME", str(cli.home))
    flow = cli.write("flow.py", FLOW)
    done = cli.run("run", "flow.py", "whole")
    assert EXPECTED in done.stdout
    outputs = cli.json("executions", "show", _execution(done))["outputs"]
    assert outputs["o0"]["data"] == EXPECTED
    assert outputs["o1"]["type"] == {"kind": "file", "format": "csv"}
    assert outputs["o1"]["ref"]["size"] == 1
    again = cli.json("executions", "show", _execution(cli.run("run", "flow.py", "whole")))["outputs"]
    assert again["o0"]["digest"] == outputs["o0"]["digest"]
    assert again["o1"]["ref"]["digest"] == outputs["o1"]["ref"]["digest"]
    text, file = runpy.run_path(str(flow))["whole"]()
    assert text == EXPECTED
    with file.open("r") as given:
        assert given.read() == "1"


def _execution(done: Any) -> str:
    return next(word for word in done.stdout.split() if word.startswith("x") and len(word) == 19)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("losing", "FP-FILE-MISSING", "/none/at/all.txt"), ("breaking", "LookupError", "no second")],
)
def test_an_error_names_the_task(cli: Any, name: str, code: str, said: str) -> None:
    cli.write("flow.py", FLOW)
    done = cli.run("run", "flow.py", name, status=1)
    told = done.stdout + done.stderr
    assert code in told
    assert said in told
    assert {"losing": "lose", "breaking": "failing"}[name] in told
