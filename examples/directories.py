"""Directories between tasks: many files as one value, read one by one.

    flytepath run examples/directories.py count

What it shows:

- ``new_file`` in a ``FlyteDirectory``, which is kept file by file, each by its content;
- ``listdir`` and ``crawl``: only the files that are used are fetched;
- ``BatchSize``: how many files are fetched at a time where all are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from flytepath import BatchSize, FlyteDirectory, FlyteFile, task, workflow

NOTES = """\
sown the beans
rain all day long
first leaves on the beans
the neighbour's cat dug up a row
sown that row again
harvest"""


@task
def split() -> FlyteDirectory:
    """One file per line, in folders by the line's length. At the end every file is kept by its content."""
    lines = FlyteDirectory.new("lines")
    for number, line in enumerate(NOTES.splitlines(), start=1):
        with lines.new_file(f"{len(line.split())}-words/{number}.txt").open("w") as out:
            out.write(line)
    return lines


@task
def longest(lines: FlyteDirectory) -> FlyteFile:
    """The first of the longest lines: of all the files only one is fetched."""
    folders = FlyteDirectory.listdir(lines)
    return FlyteDirectory.listdir(folders[-1])[0]


@task
def words(lines: Annotated[FlyteDirectory, BatchSize(2)], line: FlyteFile) -> dict[str, str]:
    """Crawling brings one file after the other; using the directory as a path would bring all, here two at a time."""
    total = sum(len(Path(folder, name).read_text().split()) for folder, name in lines.crawl())
    with line.open("r") as given:
        return {"words": str(total), "longest line": given.read()}


@workflow
def count() -> tuple[dict[str, str], FlyteDirectory]:
    """Split the notes, find the longest line, and count the words; the directory is an output of the run."""
    lines = split()
    return words(lines=lines, line=longest(lines=lines)), lines
