"""Files between tasks: written, passed on by reference, streamed, and typed by format.

    flytepath run examples/files.py report

What it shows:

- ``CSVFile``: a file of a format, which fits only where that format is wanted; ``FlyteFile`` is a file of any;
- ``open``: written and read where it lies, without a copy;
- a file as a path of this machine, downloaded where it is needed, and files in containers.
"""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

from flytepath import CSVFile, FlyteFile, task, workflow

#: Height in cm of the plants of three beds.
HEIGHTS = {"north": [31.0, 28.5, 30.5], "south": [40.0, 41.5, 39.0], "shade": [22.5, 25.0, 21.0]}


@task
def measure() -> CSVFile:
    """Write the table. What is returned is kept by its content, so the next run of this task makes the same file."""
    table = CSVFile.new("heights.csv")
    with table.open("w") as out:
        rows = csv.writer(out)
        rows.writerow(["bed", "height"])
        rows.writerows((bed, height) for bed, heights in HEIGHTS.items() for height in heights)
    return table


@task
def normalise(table: CSVFile) -> CSVFile:
    """Heights in units of their standard deviation; the input is read where it lies, without a download."""
    with table.open("r") as given:
        rows = list(csv.DictReader(given))
    heights = [float(row["height"]) for row in rows]
    mean, spread = statistics.mean(heights), statistics.stdev(heights)
    made = CSVFile.new("normalised.csv")
    with made.open("w") as out:
        writer = csv.writer(out)
        writer.writerow(["bed", "height"])
        writer.writerows(
            (row["bed"], round((height - mean) / spread, 3)) for row, height in zip(rows, heights, strict=True)
        )
    return made


@task
def summarise(files: dict[str, FlyteFile]) -> str:
    """Files nest in any container; a file is also a path of this machine wherever one is expected."""
    lines = []
    for title, file in files.items():
        header, *rows = Path(file).read_text().splitlines()
        lines.append(f"{title}: {len(rows)} rows of {header}")
    return "; ".join(lines)


@workflow
def report() -> tuple[str, CSVFile]:
    """Measure, normalise, and say how much there is of both; the file is an output of the run."""
    table = measure()
    normalised = normalise(table=table)
    return summarise(files={"measured": table, "normalised": normalised}), normalised
