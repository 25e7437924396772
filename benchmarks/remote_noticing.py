"""When the engine had recorded that a job succeeded, beside when the vendor had ended it.

``python -m benchmarks.remote_noticing HOME FILE`` reads from a file what ended (``[execution, node, item, when,
interval]``), waits until the log of each execution has all of it, and prints for each ``[intervals, seconds]``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from flytepath.model.events import Event, ItemsSucceeded, NodeSucceeded
from flytepath.store.events import open_store

#: How long it is waited.
PATIENCE_SECONDS = 600.0
#: How many events before the end of a log are looked at first.
BACK = 2000


def _ended(event: Event) -> list[str]:
    """The nodes that succeeded with an event."""
    match event.payload:
        case NodeSucceeded(node=node):
            return [node]
        case ItemsSucceeded(node=node, items=items):
            return [f"{node}/{item[0]}" for item in items]
    return []


def waits(home: Path, finished: list[tuple[str, str, int, float, float]]) -> list[tuple[float, float]]:
    """For each end the intervals, and the seconds, until it was recorded."""
    wanted = {
        (execution, node if index < 0 else f"{node}/{index}"): (at, interval)
        for execution, node, index, at, interval in finished
    }
    found: list[tuple[float, float]] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    with open_store(home) as store:
        seen = {execution: max(0, store.last_seq(execution) - BACK) for execution, _ in wanted}
        while wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(wanted)} ends are not noticed")
            time.sleep(0.5)
            for execution, after in list(seen.items()):
                for event in store.read(execution, after):
                    seen[execution] = event.seq
                    for path in _ended(event):
                        if (execution, path) in wanted:
                            at, interval = wanted.pop((execution, path))
                            found.append(((event.at - at) / interval, event.at - at))
    return found


def main() -> None:
    """Look for what the command line says."""
    print(json.dumps(waits(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))))


if __name__ == "__main__":
    main()
