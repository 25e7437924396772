"""What is told of a notebook when its task is defined or compiled, before anything runs."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_papermill import NotebookConfig, NotebookTask
from flyte_plugin_papermill.notebook import canonical_notebook
from flytepath import FlyteFile, FlyteIterator, kwtypes
from flytepath.plugin import DefinitionError
from hypothesis import given
from hypothesis import strategies as st
from papermill_notebooks import USE, code, notebook, written

Make = Callable[..., NotebookTask]


def refused(path: Path, **settings: Any) -> DefinitionError:
    with pytest.raises(DefinitionError) as caught:
        NotebookTask(name="bad", notebook_path=path, **settings)
    return caught.value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b'{"cells": [', "is not valid JSON"),
        (b"\xff\xfe{}", "is not UTF-8"),
        (b"[1, 2]", "no notebook"),
        (b'{"rows": 3}', "no notebook"),
        (b'{"nbformat": 3, "worksheets": []}', "another format"),
        (b'{"nbformat": 4, "metadata": {}}', "no list of cells"),
        (b'{"nbformat": 4, "metadata": {}, "cells": [3]}', "no cell"),
        (b'{"nbformat": 4, "metadata": {}, "cells": [{"cell_type": "poem", "source": ""}]}', "no cell"),
        (b'{"nbformat": 4, "metadata": {}, "cells": [{"cell_type": "code", "source": 3}]}', "damaged cell"),
        (b'{"nbformat": 4, "metadata": {}, "cells": [{"cell_type": "raw", "source": "", "metadata": []}]}', "damaged"),
    ],
)
def test_a_file_that_is_no_notebook_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.ipynb"
    path.write_bytes(content)
    error = refused(path)
    assert said in error.message
    assert error.place == "bad(notebook_path)"
    assert "bad.ipynb" in (error.actual or "")


def test_a_json_error_says_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bad.ipynb"
    path.write_text('{\n  "cells": [,]\n}')
    assert "line 2, column 13" in (refused(path).actual or "")


def test_a_notebook_that_is_not_there_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path / "gone.ipynb")
    assert "cannot be read" in error.message
    assert "gone.ipynb" in (error.actual or "")
    assert "cannot be read" in refused(tmp_path).message
    assert "is a file" in refused(3).message  # type: ignore[arg-type]


def test_inputs_need_a_cell_for_the_parameters(tmp_path: Path) -> None:
    path = written(tmp_path / "n.ipynb", code("x = 1"))
    error = refused(path, inputs=kwtypes(x=int))
    assert "no cell that takes the inputs" in error.message
    assert "'parameters'" in (error.expected or "")
    NotebookTask(name="none", notebook_path=path)  # without inputs there is nothing to take


def test_a_text_cell_takes_no_parameters(tmp_path: Path) -> None:
    text = {"cell_type": "markdown", "metadata": {"tags": ["parameters"]}, "source": "x"}
    error = refused(written(tmp_path / "n.ipynb", text, code("x")), inputs=kwtypes(x=int))
    assert "markdown" in (error.actual or "")


def test_a_notebook_without_a_kernel_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "n.ipynb", "x = 1", kernel=None)
    error = refused(path)
    assert "names no kernel" in error.message
    assert NotebookTask(name="named", notebook_path=path, kernel_name="python3").source


def test_a_language_that_cannot_take_parameters_is_refused(tmp_path: Path) -> None:
    lisp = {"name": "clisp", "language": "common-lisp", "display_name": "Lisp"}
    path = written(tmp_path / "n.ipynb", "(setf x 1)", kernel=lisp)
    assert "nobody can write parameters in common-lisp" in refused(path, inputs=kwtypes(x=int)).message


def test_an_output_that_is_recorded_and_not_declared_is_refused(task: Make) -> None:
    with pytest.raises(DefinitionError, match="cell 2 of the notebook records an output") as caught:
        task("x = 1", USE + "%matplotlib inline\nif x:\n    record_outputs(mean=x, total=2)", outputs=kwtypes(mean=int))
    assert caught.value.actual == "total"
    assert caught.value.expected == "mean"


def test_a_cell_that_is_no_python_is_left_to_the_kernel(task: Make) -> None:
    assert task("x = 1", "record_outputs(total=3", outputs=kwtypes(mean=int)).source


def test_types_that_cannot_cross_are_refused(task: Make) -> None:
    with pytest.raises(DefinitionError, match="cannot cross into a notebook") as caught:
        task("rows = []", inputs=kwtypes(rows=FlyteIterator[int]))
    assert caught.value.place == "note(inputs.rows)"


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_name": " "},
        {"engine_name": 3},
        {"start_timeout": 0},
        {"execution_timeout": -1},
        {"execution_timeout": 1.5},
        {"check_kernel": "no"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError) as caught:
        NotebookConfig(**settings)
    assert caught.value.place == f"NotebookConfig({next(iter(settings))})"


def test_a_kernel_that_this_machine_lacks_is_refused_when_compiled_for_it(tmp_path: Path) -> None:
    from flytepath.compiler import compile_task
    from flytepath.model.identity import Tenant
    from flytepath.testing import MemoryBlobs

    name = "no-such-kernel"
    spec = {"name": name, "language": "python", "display_name": "None"}
    path = written(tmp_path / "n.ipynb", "x = 1", kernel=spec)
    globals()["misses"] = misses = NotebookTask(name="misses", notebook_path=path)
    globals()["elsewhere"] = elsewhere = NotebookTask(name="elsewhere", notebook_path=path, container_image="img:1")
    with pytest.raises(DefinitionError, match="no kernel 'no-such-kernel' on this machine") as caught:
        compile_task(misses, Tenant(), MemoryBlobs())
    assert "python3" in (caught.value.expected or "")
    assert compile_task(elsewhere, Tenant(), MemoryBlobs()).payload["kernel_name"] is None


def test_the_outputs_of_output_notebooks_are_those_of_flytekit(tmp_path: Path) -> None:
    path = written(tmp_path / "n.ipynb", "x = 1")
    made = NotebookTask(name="n", notebook_path=path, outputs=kwtypes(y=int))
    assert list(made.outputs) == ["y", "out_nb", "out_rendered_nb"]
    assert [made.outputs[name].extension() for name in ("out_nb", "out_rendered_nb")] == ["ipynb", "html"]
    error = refused(path, outputs=kwtypes(out_nb=FlyteFile))
    assert error.place == "bad(outputs.out_nb)"
    NotebookTask(name="n", notebook_path=path, outputs=kwtypes(out_nb=FlyteFile), output_notebooks=False)


def test_running_a_notebook_in_an_editor_does_not_change_the_task(tmp_path: Path) -> None:
    fresh = notebook("x = 1", "print(x)")
    ran = json.loads(json.dumps(fresh))
    ran["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1\n"}]
    ran["cells"][1]["execution_count"] = 7
    ran["cells"][1]["metadata"]["execution"] = {"iopub.status.idle": "2024-01-01T00:00:00"}
    ran["cells"][1]["source"] = ["print", "(x)"]
    ran["metadata"]["language_info"]["version"] = "3.13.1"
    first, second = (NotebookTask("n", _dumped(tmp_path / "n.ipynb", content)) for content in (fresh, ran))
    assert first.source == second.source
    ran["cells"][1]["source"] = "print(x + 1)"
    assert NotebookTask("n", _dumped(tmp_path / "n.ipynb", ran)).source != first.source


def _dumped(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content, indent=1))
    return path


@given(
    st.lists(
        st.tuples(st.sampled_from(["code", "markdown", "raw"]), st.text(), st.one_of(st.none(), st.text(max_size=5)))
    ),
    st.integers(0, 5),
)
def test_what_was_read_is_read_the_same_again(cells: list[tuple[str, str, str | None]], minor: int) -> None:
    made = [
        {"cell_type": kind, "source": source, "metadata": {}, **({} if own is None else {"id": own})}
        for kind, source, own in cells
    ]
    given = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": minor}
    once = canonical_notebook(json.dumps(given).encode(), "n.ipynb", "n")
    assert canonical_notebook(once.encode(), "n.ipynb", "n") == once
    ids = [cell["id"] for cell in json.loads(once)["cells"] if "id" in cell]
    assert len(set(ids)) == len(ids)
    assert [cell["source"] for cell in json.loads(once)["cells"]] == [source for _, source, _ in cells]


def test_a_relative_path_starts_here_or_beside_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "beside.ipynb", "x = 1")
    (tmp_path / "module_beside.py").write_text(
        "from flyte_plugin_papermill import NotebookTask\nnote = NotebookTask('n', 'beside.ipynb')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import module_beside  # type: ignore[import-not-found]

    assert module_beside.note.source
    monkeypatch.chdir(tmp_path)
    assert NotebookTask("n", "beside.ipynb").source == module_beside.note.source


def test_defining_a_task_loads_no_library(program: Callable[[str], str], tmp_path: Path) -> None:
    written(tmp_path / "n.ipynb", "x = 1")
    shown = program(
        """
        import sys
        from flyte_plugin_papermill import NotebookTask
        NotebookTask("n", "n.ipynb", inputs={"x": int}, outputs={"y": int})
        print([name for name in ("papermill", "nbformat", "nbconvert", "jupyter_client") if name in sys.modules])
        """
    )
    assert shown.strip() == "[]"


def test_dates_are_known_inputs(task: Make) -> None:
    assert task("day = ''", inputs=kwtypes(day=dt.date)).inputs == {"day": dt.date}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"nbformat": 4, "cells": [], "metadata": {"x": NaN}}', "none of JSON: NaN"),
        (b'{"nbformat": 4, "cells": [], "metadata": {"x": ' + b"9" * 5000 + b"}}", "none of JSON"),
        (b'{"nbformat": 4, "nbformat_minor": -1, "cells": []}', "no notebook"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x = \'\\ud800\'"}]}', "half a character"),
    ],
)
def test_json_that_no_notebook_is_written_in_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.ipynb"
    path.write_bytes(content)
    error = refused(path)
    assert said in error.message
    assert error.place == "bad(notebook_path)"


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ipynb")
    for path in (tmp_path / "pipe.ipynb", Path("a\0b"), Path("a" * 5000)):
        assert "cannot be read" in refused(path).message


@pytest.mark.parametrize("kind", ["code", "markdown"])
def test_a_second_cell_that_would_take_the_inputs_back_is_refused(tmp_path: Path, kind: str) -> None:
    first = {"cell_type": kind, "metadata": {"tags": ["parameters"]}, "source": "x = 1"}
    path = written(tmp_path / "n.ipynb", first, code("x = 2", "parameters"))
    error = refused(path, inputs=kwtypes(x=int))
    assert "several cells have the tag 'parameters'" in error.message
    assert error.actual == f"cell 1 ({kind}), cell 2 (code)"


@pytest.mark.parametrize("name", ["a b", "class", "1"])
def test_an_input_that_can_be_no_variable_is_refused(tmp_path: Path, name: str) -> None:
    error = refused(written(tmp_path / "n.ipynb", "x = 1"), inputs={name: int})
    assert (error.place, error.actual) == ("bad(inputs)", name)


def test_outputs_of_a_notebook_without_code_are_refused(tmp_path: Path) -> None:
    text = {"cell_type": "markdown", "metadata": {}, "source": "# Nothing"}
    assert "no code that could record" in refused(written(tmp_path / "n.ipynb", text), outputs=kwtypes(y=int)).message


def test_a_cell_in_another_language_records_nothing(task: Make) -> None:
    assert task("x = 1", "%%bash\nrecord_outputs(total=3)", outputs=kwtypes(mean=int)).source
    with pytest.raises(DefinitionError, match="records an output"):
        task("x = 1", "%%time\nrecord_outputs(total=3)", outputs=kwtypes(mean=int))


def test_what_is_said_twice_or_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "n.ipynb", "x = 1")
    error = refused(path, task_config=NotebookConfig(), kernel_name="other")
    assert (error.message, error.place) == ("kernel_name is said twice", "bad(kernel_name)")
    assert "render_deck" in refused(path, render_deck="no").message
    assert "types by name" in refused(path, inputs=[int]).message
    assert "types by name" in refused(path, outputs=[int]).message
