"""Runs small executions through one session and says from time to time what this process holds.

``python soaking.py NUMBER``: one JSON line for every tenth of it, ``{"executions", "rss", "files", "threads"}``.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from collections import deque
from pathlib import Path

import durable_flow
from flytepath import FlytePath

#: How many are under way at a time.
WINDOW = 20


def held(executions: int) -> dict[str, int]:
    """What this process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "executions": executions,
        "rss": pages * os.sysconf("SC_PAGE_SIZE"),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
    }


def main(number: int) -> None:
    """Run them, a window at a time."""
    under_way: deque[tuple[str, int]] = deque()
    with FlytePath(slots=2) as platform:
        for x in range(number):
            under_way.append((platform.execute(durable_flow.small, {"x": x}).id, x + 1))
            while len(under_way) > (WINDOW if x + 1 < number else 0):
                execution, wanted = under_way.popleft()
                outputs = platform.wait(execution).outputs
                if list(outputs.values()) != [wanted]:
                    raise SystemExit(f"{execution} gave {outputs} and not {wanted}")
            if (x + 1) % (number // 10) == 0:
                print(json.dumps(held(x + 1)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
