"""The fake vendor in a process of its own, which a benchmark tells what to end: a line in, a line of JSON out.

``live`` gives how many jobs live; ``finish SHARE`` ends that share of all programs, chosen at random, and gives for
each ``[node, item, when, interval]``: its node, its index in an array or -1, the time (seconds since the epoch) and how
many seconds the engine leaves between two looks at its job by then. ``finish-all`` ends everything.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from typing import Any

from flytepath.engine.jobs.polling import GROWTH
from flytepath.testing.fake_vendor import FakeVendor, Job
from flytepath.testing.reference_job_manifest import flytepath_backends

_POLICY = flytepath_backends()[0].poll


def _looks(vendor: FakeVendor) -> Counter[str]:
    """How often each job was looked at."""
    looks: Counter[str] = Counter()
    for entry in vendor.journal:
        if entry.call == "list" and "?ids=" in entry.target:
            looks.update(entry.target.partition("?ids=")[2].replace("%2C", ",").split(","))
    return looks


def _interval(looks: int) -> float:
    """Seconds to the next look: the first one saw that the job runs, and it has grown with each one since."""
    return float(min(_POLICY.first * GROWTH ** max(0, looks - 1), _POLICY.longest))


def finish(vendor: FakeVendor, share: float) -> list[list[Any]]:
    """End a share of what runs."""
    looks = _looks(vendor)
    programs = [(job, place) for job in vendor.jobs() for place in range(len(job.items) or 1)]
    found = []
    for job, place in random.Random(0).sample(programs, max(1, round(share * len(programs)))):
        _ended(vendor, job, place)
        node = json.loads(job.tags["flytepath-owner"])
        index = job.spec["map"][place] if job.items else -1
        found.append([node[2], node[3], index, time.time(), _interval(looks[job.id])])
    return found


def _ended(vendor: FakeVendor, job: Job, place: int) -> None:
    if job.items:
        job.items[place].end(vendor.now(), "FINISHED", 0)
    else:
        vendor.finish(job.id)


def main() -> None:
    """Serve until standard input is closed."""
    with FakeVendor() as vendor:
        print(vendor.url, flush=True)
        for line in sys.stdin:
            command, _, share = line.strip().partition(" ")
            answer: Any = None
            if command == "live":
                answer = vendor.live()
            elif command == "calls":
                answer = dict(vendor.calls())
            elif command == "finish":
                answer = finish(vendor, float(share))
            elif command == "finish-all":
                for job in vendor.jobs():
                    vendor.finish(job.id)
                answer = len(vendor.jobs())
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
