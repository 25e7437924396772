"""What is left of a run for people: the executed notebook and its page, without secrets, and the deck."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flytepath import FlyteFile

from flyte_plugin_papermill.rendering import DECK, document_of, page_of

if TYPE_CHECKING:
    from flytepath import ExecutionContext

    from flyte_plugin_papermill.errors import NotebookError
    from flyte_plugin_papermill.execution import Run


#: When what is there of a run that goes on is kept for the first time, how often after that, and how much of the time
#: that may take.
_FIRST_SECONDS: Final = 2.0
_NEXT_SECONDS: Final = 15.0
_SHARE: Final = 20.0
_GOES_ON: Final = "It was still running when this page was written."


@contextmanager
def kept_meanwhile(run: Run, context: ExecutionContext, *, name: str, prefix: str, deck: bool) -> Iterator[None]:
    """Keep what there is of a run again and again while it goes on: who kills it, by a timeout say, asks nobody first.

    The arguments are those of :func:`keep`.
    """
    ended = threading.Event()

    def keep_on() -> None:
        pause = _FIRST_SECONDS
        while not ended.wait(pause):
            began = time.monotonic()
            try:
                keep(run, context, name=name, error=None, prefix=prefix, deck=deck, note=_GOES_ON)
            except Exception:
                # The run matters more, and what it leaves is kept after it.
                # Most of all, papermill may be writing the notebook right now.
                context.logging.debug("the page of %s could not be written yet", name, exc_info=True)
            pause = max(_NEXT_SECONDS, _SHARE * (time.monotonic() - began))

    thread = threading.Thread(target=keep_on, name="flytepath-notebook", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def keep(
    run: Run,
    context: ExecutionContext,
    *,
    name: str,
    error: NotebookError | None,
    prefix: str | None,
    deck: bool,
    note: str = "",
) -> dict[str, str]:
    """Keep the executed notebook, as far as there is one.

    Args:
        run: the run.
        context: the attempt.
        name: how the files are named, as in ``report-out.ipynb``.
        error: what went wrong; it is told where the notebook is.
        prefix: where to put the files: a folder or a URI; ``None`` to leave them in the run's folder.
        deck: show the page as a deck.
        note: what the page says above the notebook.

    Returns:
        The places of the notebook and its page, as ``out_nb`` and ``out_rendered_nb``; nothing where nothing ran.
    """
    notebook = run.notebook()
    if notebook is None:
        return {}
    text = run.executed.read_text(encoding="utf-8")
    told = context.without_secrets(text)
    executed, page_file = run.folder / f"{name}-out.ipynb", run.folder / f"{name}-out.html"
    executed.write_text(told, encoding="utf-8")
    places = {"out_nb": _placed(executed, prefix)}
    if error is not None:
        error.notebook = places["out_nb"]
        error.hint = "; ".join(filter(None, (error.hint, f"the executed notebook is {places['out_nb']}")))
    page = context.without_secrets(page_of(notebook, name, error, note))
    if deck:
        context.add_deck(DECK, page)
    page_file.write_text(document_of(page, name), encoding="utf-8")
    places["out_rendered_nb"] = _placed(page_file, prefix)
    return places


def _placed(file: Path, prefix: str | None) -> str:
    if prefix is None:
        return str(file)
    placed = FlyteFile.new_remote_file(file.name, alt=f"{prefix.rstrip('/')}/notebook")
    with placed.open("wb") as out:
        out.write(file.read_bytes())
    return str(placed.path)
