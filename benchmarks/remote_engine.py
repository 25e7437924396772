"""One engine with many live jobs of the fake vendor, which is a process of its own.

``python -m benchmarks.remote_engine SHAPE FOLDER COUNT SECONDS`` prints one line of JSON about the shapes ``static``
(ten executions), ``map`` (one map, a job for each item) and ``arrays`` (one map as array jobs). What it measures of
processor time and memory is this process, which does nothing but drive the engine: until all jobs live (the ramp), for
so many seconds while nothing happens at the vendor (steady), while a hundredth of the jobs ends at once, and until all
have ended.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: How long anything may take.
PATIENCE_SECONDS = 1800.0
EXECUTIONS = 10
_MANIFESTS = {"arrays": "flytepath.testing.reference_job_manifest"}
_SINGLE = "benchmarks.single_jobs_manifest"


class Vendor:
    """The vendor's process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.remote_vendor"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self._line()

    def _line(self) -> str:
        if self._process.stdout is None:
            raise RuntimeError("the vendor has no output")
        return self._process.stdout.readline().strip()

    def ask(self, command: str) -> Any:
        """What it answers."""
        if self._process.stdin is None:
            raise RuntimeError("the vendor has no input")
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return json.loads(self._line())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


@contextmanager
def vendor_in(folder: Path, shape: str, count: int) -> Iterator[Vendor]:
    """A vendor, and a plugin and a configuration for it below ``folder``, for this process."""
    info = folder / "site" / "flyte_vendor-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flyte-vendor\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[flytepath.v1]\nvendor = {_MANIFESTS.get(shape, _SINGLE)}\n")
    (info / "RECORD").write_text("")
    sys.path.insert(0, str(folder / "site"))
    vendor = Vendor()
    config = folder / "flytepath.toml"
    config.write_text(f'[backends.vendor]\nurl = "{vendor.url}"\n\n[pools."vendor/main"]\nlimit = {count}\n')
    os.environ.update(
        FLYTEPATH_CONFIG=str(config),
        FLYTEPATH_HOME=str(folder / "home"),
        FLYTEPATH_SECRET_VENDOR_TOKEN="fake-vendor-token",
    )
    try:
        yield vendor
    finally:
        vendor.close()


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("it takes too long")
        time.sleep(0.1)


class Meter:
    """Seconds by the clock and of the processor since the last look."""

    def __init__(self) -> None:
        self.look()

    def look(self) -> tuple[float, float]:
        """Both, and begin anew."""
        now, cpu = time.perf_counter(), time.process_time()
        since = getattr(self, "_since", (now, cpu))
        self._since = (now, cpu)
        return now - since[0], cpu - since[1]


def _memory() -> float:
    """Resident megabytes."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _said(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def measured(shape: str, folder: Path, count: int, seconds: float) -> dict[str, float]:
    """Run a shape to its end."""
    with vendor_in(folder, shape, count) as vendor:
        from flytepath import FlytePath

        code = folder / "code"
        code.mkdir()
        shutil.copy(Path(__file__).with_name("remote_flows.py"), code)
        sys.path.insert(0, str(code))
        flows = importlib.import_module("remote_flows")
        with FlytePath(home=folder / "home") as platform:
            return _driven(platform, flows, vendor, shape, count, seconds)


def _driven(platform: Any, flows: Any, vendor: Vendor, shape: str, count: int, seconds: float) -> dict[str, float]:
    facts: dict[str, float] = {}
    flow = getattr(flows, f"jobs_{count // EXECUTIONS}") if shape == "static" else flows.mapped
    platform.register(flow)
    meter = Meter()
    before = _memory()
    inputs = [{"x": n} for n in range(EXECUTIONS)] if shape == "static" else [{"xs": list(range(count))}]
    begun = [platform.execute(flow, each) for each in inputs]
    live = -(-count // 1000) if shape == "arrays" else count
    _until(lambda: vendor.ask("live") >= live)
    facts["ramp_seconds"], facts["ramp_cpu"] = meter.look()
    facts["ramp_memory"] = _memory()
    _said(f"ramp {facts} {vendor.ask('calls')} from {before:.0f} MB")
    time.sleep(seconds)
    wall, cpu = meter.look()
    facts["steady_share"], facts["steady_memory"] = cpu / wall, _memory()
    _said(f"steady {facts['steady_share']:.3f} {_memory():.0f} MB {vendor.ask('calls')}")
    finished = vendor.ask("finish 0.01")
    waits = _noticed(platform.home.parent, finished)
    facts.update(
        zip(("noticed_p50", "noticed_p99", "noticed_max"), _spread([share for share, _ in waits]), strict=True)
    )
    facts["noticed_seconds"] = max(wait for _, wait in waits)
    wall, cpu = meter.look()
    facts["noticing_share"] = cpu / wall
    _said(f"noticed {facts} {vendor.ask('calls')}")
    vendor.ask("finish-all")
    for each in begun:
        done = platform.wait(each.id, PATIENCE_SECONDS)
        if done.status != "succeeded":
            raise RuntimeError(f"{done.id} {done.status}: {done.error}")
    facts["drain_seconds"], facts["drain_cpu"] = meter.look()
    facts["cpu"] = time.process_time()
    facts["memory"] = max(_memory(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    facts["events"] = sum(_events(platform, each.id) for each in begun)
    facts["store_bytes"] = sum(file.stat().st_size for file in platform.home.rglob("*") if file.is_file())
    _said(f"drained {facts} {vendor.ask('calls')}")
    return facts


def _events(platform: Any, execution: str) -> int:
    from flytepath.store.events import open_store

    with open_store(platform.home) as store:
        return store.last_seq(execution)


def _spread(values: list[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], ordered[-1]


def _noticed(folder: Path, finished: list[list[Any]]) -> list[list[float]]:
    """For each end: how many intervals, and seconds, went by until it was recorded that its node had succeeded.

    Looked up by another process, so that it costs this one nothing.
    """
    asked = folder / "finished.json"
    asked.write_text(json.dumps(finished))
    command = [sys.executable, "-m", "benchmarks.remote_noticing", str(folder / "home"), str(asked)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE_SECONDS)
    waits: list[list[float]] = json.loads(told.stdout)
    return waits


def main() -> None:
    """Run the shape of the command line."""
    shape, folder, count, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    print(json.dumps(measured(shape, folder, count, seconds)))


if __name__ == "__main__":
    main()
