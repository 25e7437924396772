"""``python -m benchmarks``: measure, print the table with reach and verdict, exit 1 when a reach is missed."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import admission, authoring, durable, frames, remote_jobs, startup, values, workers
from benchmarks.measure import CaseFailedError, Result, measure


def _shown(result: Result) -> str:
    value = result.milliseconds
    if result.unit == "ms" and value < 1:
        return f"{value * 1000:.1f} us"
    return f"{value:.{1 if result.unit in ('ms', 'MB') else 2}f} {result.unit}"


def table(results: list[Result]) -> str:
    """The results as aligned text."""
    rows = [("case", "median", "ratio", "reach", "verdict")]
    for result in results:
        unit = f" {result.unit}" if result.ratio is None and result.reach is not None else "x"
        rows.append(
            (
                result.name,
                _shown(result),
                "" if result.ratio is None else f"{result.ratio:.{2 if result.ratio >= 0.1 else 4}f}x {result.against}",
                "" if result.reach is None else f"<= {result.reach:g}{unit}",
                {None: "", True: "ok", False: "OVER"}[result.within],
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def announce(text: str) -> None:
    """Show how far it is, where somebody is looking."""
    if sys.stderr.isatty():
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)


def of_startup(repetitions: int, announce: Callable[[str], None]) -> tuple[list[Result], list[str]]:
    """Start-up and discovery, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="flytepath-benchmarks-") as folder:
        scratch = Path(folder)
        cases, notes = startup.cases(scratch)
        results = measure(cases, repetitions, announce)
        announce("")
        return results + startup.manifest_imports(scratch, repetitions), notes


#: Each takes the repetitions and whom to tell how far it is, and gives rows and notes.
GROUPS: dict[str, Callable[[int, Callable[[str], None]], tuple[list[Result], list[str]]]] = {
    "startup": of_startup,
    "authoring": authoring.measured,
    "values": values.measured,
    "frames": frames.measured,
    "workers": workers.measured,
    "durable": durable.measured,
    "admission": admission.measured,
    "remote": remote_jobs.measured,
}


def main() -> int:
    """Run everything; 0 when every reach is kept, 1 when one is missed, 2 when a case could not be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=startup.__doc__)
    parser.add_argument("--repetitions", type=int, default=15, help="rounds through all cases (default 15)")
    parser.add_argument("--only", action="append", choices=GROUPS, help="one group of cases; may be repeated")
    parser.add_argument("--full", action="store_true", help="durable graphs of 100,000 nodes too, which takes long")
    parser.add_argument("--json", action="store_true", help="print data instead of a table")
    options = parser.parse_args()

    groups = {**GROUPS, "durable": partial(durable.measured, full=options.full)}
    results: list[Result] = []
    notes: list[str] = []
    for name in options.only or GROUPS:
        try:
            found, said = groups[name](options.repetitions, announce)
        except CaseFailedError as error:
            print(error, file=sys.stderr)
            return 2
        results += found
        notes += said
    announce("")
    if options.json:
        machine = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
        print(json.dumps({**machine, "results": [result.to_json() for result in results], "notes": notes}, indent=2))
    else:
        print("\n".join([table(results), *notes]))
    return 1 if any(result.within is False for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
