"""``flytepath executions deck``: the reports that tasks wrote, as HTML files."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import click

from flytepath import config


@click.command("deck")
@click.argument("execution", metavar="ID")
@click.argument("node", required=False)
@click.option("--to", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where to.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def deck(execution: str, node: str | None, folder: Path, as_json: bool) -> None:
    """Write the decks of an execution, or of one NODE, as HTML files, and print their names."""
    from flytepath.client import LocalClient, Scope
    from flytepath.errors import NotFoundError, UsageError
    from flytepath.model.identity import Tenant

    with LocalClient(config.home()) as client:
        view = client.execution(Scope.of_this_user(), execution)
        found = [item for item in view.decks if node in (None, item.node)]
        if not found:
            known = ", ".join(dict.fromkeys(item.node for item in view.decks))
            where = f"node {node!r} of execution {execution}" if node else f"execution {execution}"
            raise NotFoundError(f"{where} wrote no deck", expected=known and f"a node with decks: {known}")
        blobs = client.blobs(Scope.of_this_user(Tenant(view.project, view.domain)))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            written = []
            for item in found:
                path = folder / f"{_file_name(f'{item.node}-{item.attempt}-{item.name}')}.html"
                path.write_text(_page(item.name, blobs.get(item.ref).decode("utf-8", "replace")), "utf-8")
                written.append({"node": item.node, "attempt": item.attempt, "name": item.name, "file": str(path)})
        except OSError as error:
            raise UsageError("the deck cannot be written", place=str(folder), actual=str(error)) from error
    if as_json:
        click.echo(json.dumps(written, indent=2))
        return
    for each in written:
        click.echo(each["file"])


def _page(title: str, content: str) -> str:
    """A deck as a page of its own; one that already is a page stays as it is."""
    if content.lstrip()[:9].lower().startswith(("<!doctype", "<html")):
        return content
    return f'<!doctype html>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n{content}\n'


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "deck"
