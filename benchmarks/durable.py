"""The durable engine beside its peers: what a node costs in a chain, a fan-out, a map and as an execution of its own.

Every measurement is a process of its own with a fresh home, and rounds alternate between us and the peer. What is
committed, by each, is on the disk before the next step: FlytePath writes SQLite in WAL with ``synchronous=FULL``, one
transaction for the end of a node and the start of the next, and as many at once as there are; a start is durable before
it takes effect. DBOS writes its SQLite with the rollback journal and FULL, one transaction a step, after the step. Our
tasks run in worker processes, theirs in the process of the workflow. PostgreSQL commits synchronously for both.

The scratch folder must lie on a disk (``TMPDIR``): in memory a commit costs nothing, and what is compared is lost.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from benchmarks.measure import CaseFailedError, Result
from benchmarks.processes import Outcome, run

OURS = "benchmarks.peers.with_flytepath"
DBOS = "benchmarks.peers.with_dbos"
#: The most a megabyte count may be, of the engine and of everything together, while 10,000 items run.
MEMORY_REACH = 400.0
SIZES = (100, 1_000, 10_000)
FULL_SIZES = (*SIZES, 100_000)
#: Gives the URL of an empty database, or nothing where the default is used.
Databases = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is timed.

    Args:
        name: what the table calls it.
        module: the program that runs it.
        case: what the program calls it.
        count: how many nodes or executions it has.
    """

    name: str
    module: str
    case: str
    count: int


@dataclass(slots=True)
class Measured:
    """All outcomes of a case."""

    case: Case
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def per_node(self) -> float:
        """The median in milliseconds for each of its nodes."""
        return self._median("seconds") * 1000 / self.case.count

    @property
    def cpu_per_node(self) -> float:
        """CPU milliseconds of its own process for each of its nodes."""
        return self._median("cpu") * 1000 / self.case.count

    def _median(self, fact: str) -> float:
        return statistics.median(outcome.facts[fact] for outcome in self.outcomes)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What we do and what a peer does, each in every sensible way; the faster of ours should take so much of theirs."""

    ours: tuple[Case, ...]
    peers: tuple[Case, ...]
    reach: float


def comparisons() -> list[Comparison]:
    """What is compared with DBOS. The ways that are slow by nature get fewer nodes, which does them no harm."""
    chain = (Case("DBOS: a workflow of 100 steps", DBOS, "chain", 100),)
    fan = (
        Case("DBOS: 500 steps gathered", DBOS, "fan-steps", 500),
        Case("DBOS: 100 child workflows", DBOS, "fan-workflows", 100),
        Case("DBOS: 100 child workflows on a queue", DBOS, "fan-queue", 100),
    )
    executions = (
        Case("DBOS: 500 workflows, begun by asyncio", DBOS, "executions-async", 500),
        Case("DBOS: 200 workflows, begun in threads", DBOS, "executions-threads", 200),
    )
    return [
        Comparison((Case("chain of 100", OURS, "chain", 100),), chain, round(1 / 1.5, 2)),
        Comparison((Case("fan-out of 500", OURS, "fan", 500),), fan, 1 / 5),
        Comparison(
            (
                Case("500 executions of one node", OURS, "executions", 500),
                Case("500 executions of one node, begun by asyncio", OURS, "executions-async", 500),
            ),
            executions,
            1 / 2,
        ),
    ]


class Bench:
    """Runs cases in fresh folders below ``scratch``, on databases of ``databases``."""

    def __init__(self, scratch: Path, announce: Callable[[str], None], databases: Databases | None = None) -> None:
        self._scratch = scratch
        self._announce = announce
        self._databases = databases
        self.notes: list[str] = []

    def once(self, case: Case) -> Outcome:
        """Run a case once."""
        with self.folder() as folder:
            return self.run(case.name, case.module, [case.case, str(folder), str(case.count)])

    def run(self, name: str, module: str, arguments: list[str], *, kill: bool = False) -> Outcome:
        """Run a program, on a new database where there is a server."""
        self._announce(name)
        url = self._databases() if self._databases is not None else ""
        if module == OURS:
            return run(module, arguments, environment={"FLYTEPATH_DATABASE": url} if url else {}, kill=kill)
        return run(module, [*arguments, *([url] if url else [])], kill=kill)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder, gone afterwards."""
        made = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def rounds(self, cases: Sequence[Case], count: int) -> list[Measured]:
        """Go ``count`` times through all the cases in turn; a peer that fails is left out, with a note."""
        measured = [Measured(case) for case in cases]
        for _ in range(count):
            for each in list(measured):
                try:
                    each.outcomes.append(self.once(each.case))
                except CaseFailedError as error:
                    if each.case.module == OURS:
                        raise
                    measured.remove(each)
                    self.notes.append(f"{each.case.name} failed: {str(error).strip().splitlines()[-1]}")
        return measured


def compared(
    bench: Bench, comparison: Comparison, rounds: int, suffix: str = ""
) -> tuple[list[Result], Measured | None]:
    """A comparison's rows, and the peer's fastest way."""
    found = bench.rounds([*comparison.ours, *comparison.peers], rounds)
    ours = [each for each in found if each.case.module == OURS]
    peers = [each for each in found if each.case.module != OURS]
    fastest = min(peers, key=lambda each: each.per_node, default=None)
    best = min(ours, key=lambda each: each.per_node)
    rows = [Result(f"{each.case.name}{suffix}, per node", each.per_node) for each in peers]
    rows += [_row(each, fastest, comparison.reach if each is best else None, suffix) for each in ours]
    return [*rows, _cpu(best, fastest, suffix)], fastest


def _row(ours: Measured, other: Measured | None, reach: float | None, suffix: str = "", prefix: str = "") -> Result:
    name = f"{prefix}{ours.case.name}{suffix}, per node"
    if other is None:
        return Result(name, ours.per_node)
    return Result(name, ours.per_node, other.case.name, ours.per_node / other.per_node, reach)


def _cpu(ours: Measured, other: Measured | None, suffix: str = "", prefix: str = "") -> Result:
    name = f"{prefix}{ours.case.name}{suffix}, CPU of the engine per node"
    if other is None:
        return Result(name, ours.cpu_per_node)
    return Result(name, ours.cpu_per_node, f"{other.case.name}, CPU", ours.cpu_per_node / other.cpu_per_node)


def big_map(bench: Bench, rounds: int, peer: Measured | None) -> list[Result]:
    """10,000 items: their time against the peer's fan-out, and memory."""
    (ours,) = bench.rounds([Case("map of 10,000 items", OURS, "map", 10_000)], rounds)
    rows = [_row(ours, peer, 1 / 5), Result(f"{ours.case.name}, CPU of the engine per node", ours.cpu_per_node)]
    if any(outcome.all_bytes for outcome in ours.outcomes):
        own, everything = (
            statistics.median(values) / 2**20
            for values in zip(*((each.own_bytes, each.all_bytes) for each in ours.outcomes), strict=True)
        )
        rows += [
            Result(f"{ours.case.name}, memory of the engine", own, reach=MEMORY_REACH, unit="MB"),
            Result(f"{ours.case.name}, memory of everything", everything, reach=MEMORY_REACH, unit="MB"),
        ]
    return rows


def resumes(bench: Bench, rounds: int) -> list[Result]:
    """How soon the next node starts after a kill, beside what the run had taken until then."""
    rows = []
    for case, name in (("hold-map", "a map of 10,000 items"), ("hold-fan", "a graph of 10,000 nodes")):
        run_name = f"a run of {name}"
        ran, resumed = [], []
        for _ in range(rounds):
            with bench.folder() as folder:
                held = bench.run(run_name, OURS, [case, str(folder), "10000"], kill=True)
                again = bench.run(f"resume of {name}", OURS, ["resume", str(folder), "10000"])
            ran.append(held.facts["seconds"] * 1000)
            resumed.append(again.facts["seconds"] * 1000)
        took, ready = statistics.median(ran), statistics.median(resumed)
        rows += [
            Result(run_name, took),
            Result(f"resume of {name}, until the next node", ready, run_name, ready / took, 0.1),
        ]
    return rows


def flatness(bench: Bench, rounds: int, sizes: Sequence[int]) -> list[Result]:
    """What a node costs in larger and larger graphs, beside the smallest one."""
    rows = []
    for shape, name in (("chain", "chain"), ("fan", "fan-out")):
        cases = [Case(f"{name} of {size:,}", OURS, shape, size) for size in sizes]
        smallest, *larger = bench.rounds(cases, rounds)
        rows += [
            Result(f"flat: {smallest.case.name}, per node", smallest.per_node),
            Result(f"flat: {smallest.case.name}, CPU of the engine per node", smallest.cpu_per_node),
        ]
        for each in larger:
            rows += [_row(each, smallest, 1.3, prefix="flat: "), _cpu(each, smallest, prefix="flat: ")]
    return rows


def measured(
    repetitions: int, announce: Callable[[str], None], *, full: bool = False
) -> tuple[list[Result], list[str]]:
    """All rows, and notes about what is not here.

    Args:
        repetitions: of the quick benchmarks; these take a third of them.
        announce: told what runs.
        full: 100,000 nodes too.
    """
    rounds = max(1, repetitions // 3)
    few = max(1, rounds // 2)
    results: list[Result] = []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flytepath-durable-")))
        bench = Bench(scratch, announce)
        if _is_in_memory(scratch):
            bench.notes.append(f"{scratch} lies in memory, where nothing is durable: set TMPDIR to a folder on a disk")
        compare, note = _peers_here()
        bench.notes += note
        fan = None
        for comparison in comparisons():
            rows, fastest = compared(bench, compare(comparison), rounds)
            results += rows
            fan = fastest if comparison.ours[0].case == "fan" else fan
        results += big_map(bench, few, fan)
        results += resumes(bench, few)
        results += flatness(bench, few, FULL_SIZES if full else SIZES)
        databases, note = _server(stack)
        bench.notes += note
        if databases is not None:
            there = Bench(scratch, announce, databases)
            for comparison in comparisons():
                results += compared(there, compare(comparison), few, ", PostgreSQL")[0]
            bench.notes += there.notes
    return results, bench.notes


def _peers_here() -> tuple[Callable[[Comparison], Comparison], list[str]]:
    if find_spec("dbos"):
        return lambda comparison: comparison, []
    note = "DBOS is not installed here: pip install dbos to see it side by side"
    return lambda comparison: Comparison(comparison.ours, (), comparison.reach), [note]


def _server(stack: ExitStack) -> tuple[Databases | None, list[str]]:
    from flytepath.testing.postgres import PostgresServer, missing

    reason = missing() or (None if find_spec("psycopg") else "psycopg is not installed here")
    if reason is not None:
        return None, [f"not measured on PostgreSQL: {reason}"]
    server = stack.enter_context(PostgresServer())
    return server.database, []


def _is_in_memory(folder: Path) -> bool:
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return False
    around = [(len(where), kind) for where, kind in mounts if folder.resolve().is_relative_to(where)]
    return max(around, default=(0, ""))[1] in ("tmpfs", "ramfs")
