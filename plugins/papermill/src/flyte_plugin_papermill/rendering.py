"""The executed notebook as one page for people: nbconvert's, sanitised, with the failing cell marked."""

from __future__ import annotations

import html
from typing import Any, Final

from flyte_plugin_papermill.errors import KernelDiedError, NotebookError, NotebookTimeoutError
from flyte_plugin_papermill.execution import libraries
from flyte_plugin_papermill.sanitizing import sanitized
from flyte_plugin_papermill.shortening import shorten_outputs
from flyte_plugin_papermill.verdict import ERROR_MARK, numbered

#: The name of the deck, which is flytekit's.
DECK: Final = "out_rendered_nb"
_MARK: Final = "flytepath-failed-cell"
_STYLE: Final = """\
<style>
.fp-notebook { font: 14px/1.5 system-ui, sans-serif; max-width: 60em; }
.fp-notebook pre { font: 12px/1.45 ui-monospace, monospace; overflow-x: auto; white-space: pre-wrap; margin: .3em 0; }
.fp-notebook .input_area { background: #8881; padding: .3em .6em; border-radius: 4px; }
.fp-notebook .prompt, .fp-notebook .anchor-link { display: none; }
.fp-notebook table { border-collapse: collapse; margin: .4em 0; }
.fp-notebook td, .fp-notebook th { border: 1px solid #8884; padding: .15em .5em; text-align: right; }
.fp-notebook img { max-width: 100%; }
.fp-notebook .output_stderr, .fp-notebook .output_error { background: #cf222e14; }
.fp-notebook .fp-failed { border-left: 4px solid #cf222e; background: #cf222e14; padding: .4em .8em; margin: .6em 0; }
.fp-notebook .fp-failed a { color: #cf222e; }
</style>
"""
#: Errors of runs that stopped inside a cell without an error of it.
_ENDED: Final = (KernelDiedError, NotebookTimeoutError)


def page_of(notebook: Any, title: str, error: NotebookError | None = None, note: str = "") -> str:
    """A fragment of HTML without scripts.

    Args:
        notebook: what was executed.
        title: what stands above it.
        error: what went wrong, if anything: the cell is marked, and the reason stands above.
        note: anything else that stands above.
    """
    with libraries():
        from nbconvert import HTMLExporter
    shown = _marked(notebook, error)
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(shown)
    mark = '<p class="fp-failed" id="fp-failed-cell">It failed in this cell:</p>'
    body = sanitized(body).replace(f"<p>{_MARK}</p>", mark)
    failed = f"<p>{html.escape(note)}</p>" if note else ""
    if error is not None:
        link = ' <a href="#fp-failed-cell">Show the cell</a>' if mark in body else ""
        failed = f'<p class="fp-failed">{html.escape(error.message)}{link}</p>'
    return f'{_STYLE}<div class="fp-notebook"><h3>{html.escape(title)}</h3>{failed}{body}</div>'


def document_of(page: str, title: str) -> str:
    """A fragment as a page of its own."""
    head = f'<head><meta charset="utf-8"><title>{html.escape(title)}</title></head>'
    return f"<!doctype html><html>{head}<body>{page}</body></html>"


def _marked(notebook: Any, error: NotebookError | None) -> Any:
    """A copy with outputs a page can hold, without papermill's marks, and with ours before the cell that failed."""
    import nbformat

    copy = nbformat.from_dict(notebook)
    shorten_outputs(copy)
    copy.cells = [cell for cell in copy.cells if ERROR_MARK not in cell.metadata.get("tags", ())]
    wanted = None if error is None else failed_cell(copy, ended=isinstance(error, _ENDED))
    if wanted is not None:
        copy.cells.insert(wanted, nbformat.v4.new_markdown_cell(_MARK))
    return copy


def failed_cell(notebook: Any, *, ended: bool) -> int | None:
    """The place of the cell that failed, from 0; where the run was ``ended`` from outside, of the last that began."""
    last = None
    for place, (_, cell) in enumerate(numbered(notebook.cells)):
        if cell.cell_type != "code":
            continue
        noted = cell.metadata.get("papermill", {})
        if noted.get("exception") is True or any(output.output_type == "error" for output in cell.get("outputs", ())):
            return place
        if noted.get("start_time") is not None:
            last = place
    return last if ended else None
