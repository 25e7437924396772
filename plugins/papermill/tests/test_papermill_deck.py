"""The executed notebook as a page: what it shows, what it leaves out, and where it failed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_papermill import KernelDiedError, NotebookCellError, NotebookOutputError, NotebookTask
from flytepath import kwtypes
from papermill_notebooks import USE, written

Make = Callable[..., NotebookTask]
MARK = 'id="fp-failed-cell"'


def page(task: NotebookTask, kind: type[Exception] | None = None, **inputs: Any) -> str:
    """The page that an attempt leaves."""
    if kind is None:
        return Path(task(**inputs)[-1]).read_text()
    with pytest.raises(kind) as caught:
        task(**inputs)
    return Path(caught.value.notebook.replace(".ipynb", ".html")).read_text()  # type: ignore[attr-defined]


def text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def test_the_page_shows_code_text_output_and_pictures(task: Make) -> None:
    found = page(
        task(
            "x = 1",
            text("# Weekly report\n\n*good* ![dot](data:image/png;base64,iVBORw0KGgo=)"),
            "import pandas as pd\npd.DataFrame({'a': [1]})",
            "print('seen', x)",
            "import base64\nfrom IPython.display import Image, display\n"
            "display(Image(data=base64.b64decode('iVBORw0KGgo='), format='png'))",
            inputs=kwtypes(x=int),
            output_notebooks=True,
        ),
        x=41,
    )
    for part in (
        '<h1 id="Weekly-report">',
        "<table",
        "<td>1</td>",
        "<em>good</em>",
        "seen 41",
        "data:image/png;base64,iVBORw0KGgo=",
    ):
        assert part in found
    assert found.startswith("<!doctype html>")
    assert MARK not in found


def test_the_page_runs_no_script_and_loads_nothing(task: Make) -> None:
    found = page(
        task(
            "x = 1",
            text("<script>alert(1)</script> <img src=x onerror=alert(2)> [a](javascript:alert(3))"),
            "from IPython.display import HTML, Javascript, SVG, display\n"
            'display(HTML(\'<script src="https://evil.example/a.js"></script><b onclick="alert(4)">bold</b>\'))\n'
            "display(HTML('<iframe src=\"https://evil.example\"></iframe>'))\n"
            'display(SVG(\'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(6)">\'\n'
            "            '<script>alert(5)</script></svg>'))\n"
            "display(Javascript('alert(7)'))",
            output_notebooks=True,
        )
    )
    import html.parser

    bad: list[str] = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag in ("script", "iframe", "object", "embed", "link", "base", "form"):
                bad.append(tag)
            for name, value in attrs:
                harmless = {"src": ("data:image/",), "href": ("#", "https://")}.get(name, ("",))
                if name.startswith("on") or not (value or "").startswith(harmless):
                    bad.append(f"{tag} {name}={value}")

    Reader().feed(found)
    assert bad == []
    assert "bold" in found


def test_a_failing_cell_is_marked(task: Make) -> None:
    found = page(task("x = 1", "print('before')", "int('no <number>')", "print('after')"), NotebookCellError)
    assert found.count(MARK) == 1
    before, _, after = found.partition(MARK)
    assert "before" in before
    assert "invalid literal" in after.partition("print")[0] + after
    assert before.index("fp-failed") < before.index("before")
    assert "cell 3 of the notebook raised ValueError" in before
    assert "&lt;number&gt;" in before


def test_the_cell_in_which_the_kernel_died_is_marked(task: Make) -> None:
    found = page(task("x = 1", "import os; os._exit(9)", "print('after')"), KernelDiedError)
    assert "os" in found.partition(MARK)[2].partition("after")[0]


def test_an_output_that_is_missing_marks_no_cell(task: Make) -> None:
    found = page(task("x = 1", USE, outputs=kwtypes(y=int)), NotebookOutputError)
    assert MARK not in found
    assert "did not record the output" in found


def test_a_page_is_there_while_the_notebook_still_runs(tmp_path: Path) -> None:
    written(tmp_path / "n.ipynb", "x = 1", "print('so far so good')", "import time; time.sleep(600)")
    source = """
import os, pathlib
from flyte_plugin_papermill import NotebookTask, keeping
kept = keeping.keep
def told(run, context, **more):
    places = kept(run, context, **more)
    print(pathlib.Path(places["out_rendered_nb"]).read_text(), flush=True)
    os._exit(0)
keeping.keep = told
NotebookTask("n", "n.ipynb")()
"""
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "so far so good" in done.stdout
    assert "still running" in done.stdout
    assert MARK not in done.stdout


def test_a_page_stays_short_however_much_a_cell_shows(task: Make) -> None:
    found = page(
        task(
            "x = 1",
            "print('begin' + 'x' * 2_000_000 + 'end')",
            "from IPython.display import HTML, display\ndisplay(HTML('<p>a</p>' * 200_000))",
            stream_logs=False,
            output_notebooks=True,
        )
    )
    assert len(found) < 500_000
    for part in ("begin", "end", "characters are left out here", "characters of text/html are left out here"):
        assert part in found
