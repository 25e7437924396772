"""``python -m benchmarks``: measure, print the table with reach and verdict, exit 1 when a reach is missed."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks import authoring, frames, startup, values, workers
from benchmarks.measure import CaseFailedError, Result, measure


def _shown(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms" if milliseconds >= 1 else f"{milliseconds * 1000:.1f} us"


def table(results: list[Result]) -> str:
    """The results as aligned text."""
    rows = [("case", "median", "ratio", "reach", "verdict")]
    for result in results:
        unit = " ms" if result.ratio is None and result.reach is not None else "x"
        rows.append(
            (
                result.name,
                _shown(result.milliseconds),
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


def main() -> int:
    """Run everything; 0 when every reach is kept, 1 when one is missed, 2 when a case could not be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=startup.__doc__)
    parser.add_argument("--repetitions", type=int, default=15, help="rounds through all cases (default 15)")
    parser.add_argument("--json", action="store_true", help="print data instead of a table")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="flytepath-benchmarks-") as folder:
        scratch = Path(folder)
        cases, notes = startup.cases(scratch)
        try:
            results = measure(cases, options.repetitions, announce)
        except CaseFailedError as error:
            print(error, file=sys.stderr)
            return 2
        announce("")
        results += startup.manifest_imports(scratch, options.repetitions)
        of_authoring, notes_on_authoring = authoring.measured(options.repetitions, announce)
        of_values, more_notes = values.measured(options.repetitions, announce)
        of_frames, notes_on_frames = frames.measured(options.repetitions, announce)
        of_workers, notes_on_workers = workers.measured(options.repetitions, announce)
        announce("")
        results += of_authoring + of_values + of_frames + of_workers
        notes += notes_on_authoring + more_notes + notes_on_frames + notes_on_workers
    if options.json:
        machine = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
        print(json.dumps({**machine, "results": [result.to_json() for result in results], "notes": notes}, indent=2))
    else:
        print("\n".join([table(results), *notes]))
    return 1 if any(result.within is False for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
