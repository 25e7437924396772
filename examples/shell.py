"""Shell scripts as tasks: lines of a file are counted by the tools that do it best.

    flytepath run examples/shell.py counted
    flytepath run examples/shell.py counted --word 'a $(tricky) word'

What it shows:

- values in a script: `{inputs.word}` is one word whatever it holds, so it needs no quotes and cannot be code;
- files in and out, as paths of the machine that runs the script;
- an output that is not a file but what a file says: here a number.
"""

from __future__ import annotations

from flytepath import FlyteFile, OutputLocation, ShellTask, kwtypes, task, workflow


@task
def poem(word: str) -> FlyteFile:
    """A file of four lines, half of which hold the word."""
    file = FlyteFile.new("poem.txt")
    with file.open("w") as out:
        out.write(f"a rose is\n{word}\nis a rose\nis {word} indeed\n")
    return file


search = ShellTask(
    name="search",
    script="set -e\ngrep --fixed-strings -- {inputs.word} {inputs.file} > {outputs.found}",
    inputs=kwtypes(file=FlyteFile, word=str),
    output_locs=[OutputLocation(var="found", var_type=FlyteFile, location="found.txt")],
)

count = ShellTask(
    name="count",
    script="wc -l < {inputs.file} > {outputs.lines}",
    inputs=kwtypes(file=FlyteFile),
    output_locs=[OutputLocation(var="lines", var_type=int, location="lines.txt")],
)


@workflow
def counted(word: str = "a rose") -> int:
    """How many lines hold the word."""
    return count(file=search(file=poem(word=word), word=word))
