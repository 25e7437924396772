"""What goes wrong in a notebook is told as what it is, and the executed notebook is kept."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_papermill import (
    EngineMissingError,
    KernelDiedError,
    KernelMissingError,
    KernelStartError,
    NotebookCellError,
    NotebookConfig,
    NotebookError,
    NotebookIncompleteError,
    NotebookTask,
    NotebookTimeoutError,
)
from flytepath import kwtypes
from papermill_notebooks import USE, code

Make = Callable[..., NotebookTask]


def text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def failed(task: NotebookTask, kind: type[NotebookError], **inputs: Any) -> Any:
    with pytest.raises(kind) as caught:
        task(**inputs)
    return caught.value


@pytest.fixture
def engine() -> Iterator[Callable[[Any], str]]:
    """Makes an engine of papermill's known."""
    from papermill.engines import papermill_engines

    known = dict(papermill_engines._engines)

    def register(kind: Any) -> str:
        papermill_engines.register("of-the-test", kind)
        return "of-the-test"

    yield register
    papermill_engines._engines = known


def test_a_cell_that_raises_is_the_users_error(task: Make) -> None:
    made = task(
        "x = 1", text("# Why"), "def look(x):\n    return {}[x]\nlook(f'key {x}')", "never = 1", inputs=kwtypes(x=int)
    )
    error = failed(made, NotebookCellError, x=7)
    assert (error.ename, error.evalue, error.cell) == ("KeyError", "'key 7'", 3)
    assert error.place == "note(cell 3)"
    assert error.blame == "user"
    assert "return {}[x]" in error.traceback
    assert "\x1b" not in str(error)
    kept = json.loads(Path(error.notebook).read_text())
    assert any("key 7" in json.dumps(cell.get("outputs", "")) for cell in kept["cells"])
    again = pickle.loads(pickle.dumps(error))
    assert (again.ename, again.cell, again.message) == (error.ename, error.cell, error.message)


def test_a_syntax_error_is_told_with_its_cell(task: Make) -> None:
    error = failed(task("x = 1", "if x\n    pass"), NotebookCellError)
    assert (error.ename, error.cell) == ("SyntaxError", 2)


def test_a_cell_that_is_meant_to_raise_may(task: Make) -> None:
    made = task("x = 1", code("1 / 0", "raises-exception"), USE + "record_outputs(y=1)", outputs=kwtypes(y=int))
    assert made() == 1


def test_a_notebook_may_end_early_once_it_has_recorded_all(task: Make) -> None:
    made = task("x = 1", USE + "record_outputs(y=x)", "import sys; sys.exit(0)", "1 / 0", outputs=kwtypes(y=int))
    assert made() == 1


def test_another_exit_status_is_a_failure(task: Make) -> None:
    assert failed(task("x = 1", "import sys; sys.exit(3)"), NotebookCellError).ename == "SystemExit"


def test_a_cell_that_takes_too_long_ends_the_notebook(task: Make) -> None:
    error = failed(task("x = 1", "import time; time.sleep(600)", execution_timeout=1), NotebookTimeoutError)
    assert "at most 1 s" in error.expected
    assert Path(error.notebook).is_file()


def test_a_kernel_that_is_not_there_is_named_with_those_that_are(task: Make) -> None:
    elsewhere = NotebookConfig(kernel_name="no-such-kernel", check_kernel=False)
    error = failed(task("x = 1", task_config=elsewhere), KernelMissingError)
    assert error.actual == "no-such-kernel"
    assert "python3" in error.expected


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Installs a kernel that is a command."""

    def install(*argv: str) -> str:
        folder = tmp_path / "jupyter" / "kernels" / "odd"
        folder.mkdir(parents=True)
        spec = {"argv": list(argv), "display_name": "Odd", "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
        return "odd"

    return install


def test_a_kernel_that_ends_at_once_is_told_with_its_status(task: Make, kernel: Callable[..., str]) -> None:
    error = failed(task("x = 1", kernel_name=kernel("sh", "-c", "exit 3", "{connection_file}")), KernelStartError)
    assert error.actual == "it ended with exit status 3"


def test_a_kernel_that_cannot_be_started_is_told(task: Make, kernel: Callable[..., str]) -> None:
    error = failed(task("x = 1", kernel_name=kernel("/no/such/program", "{connection_file}")), KernelStartError)
    assert error.actual == "it ended with exit status 127"


def test_a_kernel_that_never_answers_is_given_up(task: Make, kernel: Callable[..., str]) -> None:
    made = task("x = 1", kernel_name=kernel("sleep", "600"), start_timeout=1)
    assert "within 1 s" in failed(made, KernelStartError).expected


def test_a_kernel_that_dies_is_told_with_its_end(task: Make) -> None:
    error = failed(task("x = 1", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), KernelDiedError)
    assert error.actual == "it was ended by SIGKILL"
    assert "mem=" in error.hint
    assert Path(error.notebook).is_file()


def test_an_engine_that_is_not_there_is_told(task: Make) -> None:
    assert "'fast'" in failed(task("x = 1", engine_name="fast"), EngineMissingError).message


def test_another_engine_runs_the_notebook(task: Make, engine: Callable[[Any], str]) -> None:
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import Engine

    class Plain(Engine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> None:
            PapermillNotebookClient(nb_man, kernel_name=kernel_name).execute()

    made = task(
        "x = 1",
        USE + "import os\nrecord_outputs(y={x, 2}, here=len(os.listdir()))",
        inputs=kwtypes(x=int),
        outputs=kwtypes(y=set[int], here=int),
        engine_name=engine(Plain),
    )
    assert made(x=5) == ({5, 2}, 0)


def test_an_engine_that_leaves_cells_out_and_says_nothing_is_caught(task: Make, engine: Callable[[Any], str]) -> None:
    from papermill.engines import Engine

    class Lazy(Engine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> None:
            return None

    error = failed(task("x = 1", engine_name=engine(Lazy)), NotebookIncompleteError)
    assert error.message == "cell 1 of the notebook never ran"


def test_an_engine_that_swallows_an_error_is_caught(
    task: Make, engine: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import papermill.execute
    from papermill.engines import NBClientEngine

    class Kind(NBClientEngine):  # type: ignore[misc]
        pass

    monkeypatch.setattr(papermill.execute, "raise_for_execution_errors", lambda nb, output_path: None)
    error = failed(task("x = 1", "1 / 0", engine_name=engine(Kind)), NotebookCellError)
    assert error.ename == "ZeroDivisionError"


def test_a_missing_library_is_told_with_the_remedy(program: Callable[[str], str], tmp_path: Path) -> None:
    from papermill_notebooks import written

    written(tmp_path / "n.ipynb", "x = 1")
    shown = program(
        """
        import sys
        sys.modules["papermill"] = None
        from flyte_plugin_papermill import NotebookTask, PapermillMissingError
        try:
            NotebookTask("n", "n.ipynb")()
        except PapermillMissingError as error:
            print(error)
        """
    )
    assert "papermill is not installed" in shown
    assert "pip install flyte-plugin-papermill" in shown


def test_a_group_of_exceptions_is_the_users_error_too(task: Make) -> None:
    error = failed(task("x = 1", "raise ExceptionGroup('both', [ValueError(1), KeyError('k')])"), NotebookCellError)
    assert (error.ename, error.cell) == ("ExceptionGroup", 2)
    assert "both (2 sub-exceptions)" in error.evalue
    assert "KeyError" in error.traceback


def test_an_error_is_told_in_a_length_that_can_be_read(task: Make) -> None:
    error = failed(task("x = 1", "raise ValueError('a' * 3_000_000 + 'z')"), NotebookCellError)
    assert len(str(error)) < 100_000
    assert error.evalue.endswith("az")
    assert Path(error.notebook).stat().st_size > 3_000_000


def test_no_output_is_lost_however_fast_a_cell_prints(task: Make) -> None:
    made = task(
        "x = 1",
        "for number in range(4000):\n    print(number, flush=True)",
        USE + "record_outputs(y=number)",
        outputs=kwtypes(y=int),
        output_notebooks=True,
        stream_logs=False,
    )
    y, executed, _ = made()
    (output,) = json.loads(Path(executed).read_text())["cells"][1]["outputs"]
    assert y == 3999
    assert "".join(output["text"]).split() == [str(number) for number in range(4000)]
