"""What a home's keeper does: derive projections anew, remove what is old or left over, erase a value.

Everything here works while engines run on the same home, and can be interrupted anywhere: run again, it goes on.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from flytepath.client.views import Scope
from flytepath.engine.ownership import is_dead, this_process
from flytepath.errors import ExecutionStateError, StoreError, UsageError
from flytepath.model.events import Actor, Event, ExecutionCreated, ValueErased
from flytepath.model.literal import BlobRef
from flytepath.model.task import Record
from flytepath.store import claims, erasure, garbage, retention
from flytepath.store.blobs import local_path_of, storage_errors
from flytepath.store.events import DATABASE_NAME, Store, open_store
from flytepath.store.retention import Choice
from flytepath.store.sqlite import SQLite

if TYPE_CHECKING:
    from flytepath.store.claims import Unmentioned

#: The file in a home that says for which database it is kept in order.
_NOTE = "kept-for"
#: How long the lease is held under which the erasure of a value is recorded.
_LEASE_SECONDS = 30.0
_DAY = 86400.0

_ENDED = ("succeeded", "failed", "aborted")
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": _DAY, "w": 7 * _DAY}


class PruneReport(Record):
    """What was removed, or would be.

    Args:
        applied: whether it was; otherwise nothing was touched.
        before: executions that ended before this moment are meant (seconds since the epoch, UTC).
        executions: the executions, oldest first.
        events, values: how many events and values they have.
        database_bytes: what they and unused graphs take in the database.
        graphs: compiled graphs that nothing refers to any more.
        blobs, blob_bytes: blobs that nobody refers to any more.
        files, file_bytes: other files: of executions, unused code, and what killed processes have left.
        bundles: how many folders of code are among them.
        needed: executions that are old enough, but that a running one recovers from.
        finished: executions of an earlier prune that was interrupted, now removed whole.
        blobs_kept_because: why neither blobs nor code were looked at, where they were not.
    """

    applied: bool
    before: float
    executions: tuple[str, ...] = ()
    events: int = 0
    values: int = 0
    database_bytes: int = 0
    graphs: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    files: int = 0
    file_bytes: int = 0
    bundles: int = 0
    needed: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()
    blobs_kept_because: str = ""


class ErasureReport(Record):
    """What was erased.

    Args:
        execution: whose value.
        digest: the value's digest, which stays in the record.
        type: its type, which stays too.
        blobs: how many blobs and files of it were removed.
        blobs_kept: how many were left, because something else refers to them, or might: a run that goes on.
        also_in: other executions that keep the same value.
    """

    execution: str
    digest: str
    type: str
    blobs: int = 0
    blobs_kept: int = 0
    also_in: tuple[str, ...] = ()


class Keeper:
    """Keeps the store of one home in order.

    Args:
        home: the folder that holds everything.
        clock: seconds since the epoch.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as home, Keeper(Path(home)) as keeper:
        ...     keeper.rebuild(), keeper.prune(seconds("90d")).executions
        (0, ())
    """

    def __init__(self, home: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._home = home
        self._clock = clock
        self._store: Store = open_store(home)
        self._database = self._store.database

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.close()

    def rebuild(self) -> int:
        """Drop what follows from the log and derive it again; the number of executions."""
        return self._store.rebuild_projections()

    # --- what is old ---

    def prune(
        self,
        older_than: float,
        *,
        states: Sequence[str] = _ENDED,
        project: str | None = None,
        domain: str | None = None,
        apply: bool = False,
        vacuum: bool = False,
    ) -> PruneReport:
        """Remove executions that ended more than ``older_than`` seconds ago, and all that nobody needs.

        Args:
            older_than: counted from the end of an execution.
            states: only executions that ended so.
            project, domain: only theirs; blobs, code and leftovers are looked for everywhere.
            apply: do it; otherwise only say what would go.
            vacuum: also give the space back to the disk at once, which takes the database from others meanwhile.
        """
        now = self._clock()
        choice = Choice(now - older_than, tuple(states), project, domain)
        doomed, needed = self._database.read(lambda connection: retention.chosen(connection, choice, now))
        finished: list[str] = []
        ids = {row.id for row in doomed}
        values, size = self._database.read(lambda connection: retention.stored_bytes(connection, ids))
        if apply:
            gone = set(retention.remove_executions(self._database, doomed))
            needed += [row.id for row in doomed if row.id not in gone]
            doomed = [row for row in doomed if row.id in gone]
            finished = self._database.read(retention.unfinished)
        sweep = _Sweep(self._home, self._store, now, [row.id for row in doomed], finished)
        found = sweep.run(apply=apply)
        if apply:
            retention.remove_values(self._database, finished)
            retention.give_back(self._database, whole=vacuum)
        return found.model_copy(
            update={
                "before": choice.before,
                "executions": tuple(row.id for row in doomed),
                "events": sum(row.events for row in doomed),
                "values": values,
                "database_bytes": size + found.database_bytes,
                "needed": tuple(needed),
                "finished": tuple(each for each in finished if each not in ids),
            }
        )

    # --- what must go ---

    def erase(
        self, scope: Scope, execution: str, *, node: str = "", variable: str = "", digest: str = ""
    ) -> ErasureReport:
        """Erase a value of an execution that has ended; what happened stays in the record, and so does who erased it.

        Args:
            scope: who asks.
            execution: whose value.
            node: the node that was given the value, or gave it; empty for inputs and outputs of the whole.
            variable: the name of the value there.
            digest: the value itself, in place of ``variable``; its first digits do.

        Raises:
            NotFoundError: there is no such execution or value.
            UsageError: it is not clear which value is meant.
            ExecutionStateError: the execution has not ended, or an engine still holds it.
        """
        if bool(variable) == bool(digest):
            raise UsageError("name the value that is meant", expected="a variable, or a digest", place=execution)
        events = self._store.read(execution)
        created = events[0].payload
        if not isinstance(created, ExecutionCreated):
            raise StoreError("the log does not begin with the execution's creation", place=execution)
        state = retention.states(self._database, [execution]).get(execution, "")
        if state not in _ENDED:
            raise ExecutionStateError(
                f"execution {execution} has not ended, and may still need the value",
                place=execution,
                expected="an execution that has ended",
                actual=state,
                hint=f"end it first: flytepath executions abort {execution}",
            )
        if digest:
            digest = self._database.read(lambda connection: erasure.full_digest(connection, execution, digest))
        else:
            digest = erasure.digest_of(execution, events, node, variable)
        told = ValueErased(node=node, variable=variable, digest=digest)
        refs = self._erase(scope, execution, told, created)
        kept = self._store.literal(execution, digest)
        removed, left = self._forget(f"{created.project}/{created.domain}", refs)
        retention.give_back(self._database, whole=False)
        return ErasureReport(
            execution=execution,
            digest=digest,
            type=str(kept.type),
            blobs=removed,
            blobs_kept=left,
            also_in=tuple(erasure.also_in(self._database, digest, execution)),
        )

    def _erase(self, scope: Scope, execution: str, told: ValueErased, created: ExecutionCreated) -> list[BlobRef]:
        owner = this_process()
        epoch = self._store.acquire(execution, owner, ttl=_LEASE_SECONDS, is_dead=is_dead)
        try:
            if not self._store.literal(execution, told.digest).is_erased:
                seq = self._store.last_seq(execution)
                actor = Actor(kind="user", name=scope.principal)
                event = Event(execution=execution, seq=seq + 1, at=self._clock(), actor=actor, payload=told)
                self._store.append(execution, seq, epoch, [event])
            project, domain = created.project, created.domain
            refs = self._database.write(
                lambda connection: erasure.erase_value(connection, execution, told.digest, project, domain)
            )
            erasure.forget_cached(self._home, told.digest, project, domain)
            return refs
        finally:
            self._store.release(execution, owner, epoch)

    def _forget(self, tenant: str, refs: Sequence[BlobRef]) -> tuple[int, int]:
        """Remove what only the erased value referred to; how many files went, and how many stay."""
        if not refs:
            return 0, 0
        now = self._clock()
        work = self._database.read(lambda connection: retention.work(connection, now))
        before = math.inf if work.since is None else garbage.age_limit(now, work.since)
        home = garbage.Home(self._home, before)
        names = home.reached(tenant, [ref.digest.removeprefix("sha256:") for ref in refs])
        beside = {path for ref in refs if (path := local_path_of(ref.uri)) is not None and path.is_file()}
        files = {path for path in beside if path.is_relative_to(self._home / "outputs")}
        there = len(names) + len(files)
        unmentioned = home.unmentioned(())
        for text, owner in claims.mentions(self._database, self._home):
            unmentioned.mention(text, owner)
            files -= {path for path in files if path.as_uri() in text}
        unmentioned.follow()
        mine = unmentioned.blobs.get(tenant, {})
        removed, _ = home.remove_blobs({tenant: {name: mine[name] for name in names if name in mine}})
        for path in files:
            garbage.remove(path)
        return removed + len(files), there - removed - len(files)


class _Sweep:
    """Finds everything in a home that nobody needs, and removes it if asked to.

    Args:
        home, store: where to look.
        now: seconds since the epoch.
        doomed: executions that are taken for gone, or are.
        finished: executions that are gone from the database except for their values.
    """

    def __init__(self, home: Path, store: Store, now: float, doomed: Sequence[str], finished: Sequence[str]) -> None:
        self._path = home
        self._database = store.database
        self._now = now
        self._gone = {*doomed, *finished}
        self._work = self._database.read(lambda connection: retention.work(connection, now))
        self._home = garbage.Home(home, garbage.age_limit(now, self._work.since))

    def run(self, *, apply: bool) -> PruneReport:
        """What was found, and removed with ``apply``."""
        why = self._why_not(apply=apply)
        folders = self._home.folders_of(self._gone)
        graphs: dict[str, int] = {}
        unmentioned = None
        if not why:
            folders += self._old_folders()
            graphs = self._unused_graphs(apply=apply)
            unmentioned = self._unmentioned([path.name for path in folders if path.parent.name == "outputs"], graphs)
            folders = [path for path in folders if path.parent.name != "outputs" or path.name in unmentioned.outputs]
        else:
            folders = [path for path in folders if path.parent.name != "outputs"]
        files = [*folders, *self._home.leftovers()]
        sizes = [garbage.measured(path) for path in files]
        blobs = {} if unmentioned is None else unmentioned.blobs
        bundles = [] if unmentioned is None else sorted(unmentioned.bundles)
        sizes += [garbage.measured(self._home.bundle(name)) for name in bundles]
        removed = sum(map(len, blobs.values())), sum(sum(names.values()) for names in blobs.values())
        if apply:
            removed = self._home.remove_blobs(blobs)
            for path in files:
                garbage.remove(path)
            for name in bundles:
                self._home.remove_bundle(name)
        return PruneReport(
            applied=apply,
            before=0.0,
            database_bytes=sum(graphs.values()),
            graphs=len(graphs),
            blobs=removed[0],
            blob_bytes=removed[1],
            files=sum(count for count, _ in sizes),
            file_bytes=sum(size for _, size in sizes),
            bundles=len(bundles),
            blobs_kept_because=why,
        )

    def _why_not(self, *, apply: bool) -> str:
        """Why this database cannot say what its home does not need, if it cannot.

        A prune with the wrong database would find that nobody needs anything.
        """
        if self._database.read(retention.knows_nothing):
            return "the database knows of no execution and nothing registered, so it may not be the one of this home"
        dialect = self._database.dialect
        ours = DATABASE_NAME if isinstance(dialect, SQLite) else dialect.place
        if ours != DATABASE_NAME and (self._path / DATABASE_NAME).exists():
            return f"another database lies in this home, {DATABASE_NAME}, and may need them; move it away first"
        note = self._path / _NOTE
        with storage_errors(note):
            theirs = note.read_text("utf-8").strip() if note.exists() else ours
            if theirs != ours:
                return f"this home was kept in order for another database, {theirs}; if that is gone, remove {note}"
            if apply and not note.exists():
                note.write_text(f"{ours}\n", "utf-8")
        return ""

    def _old_folders(self) -> list[Path]:
        """Folders of executions that this database does not know, and where attempts of ended ones worked."""
        found = list(self._home.old_folders())
        known = retention.states(self._database, list(dict.fromkeys(execution for _, execution in found)))
        return [
            self._path / kind / execution
            for kind, execution in found
            if execution not in self._gone
            and (execution not in known or (kind == "attempts" and known[execution] in _ENDED))
        ]

    def _unused_graphs(self, *, apply: bool) -> dict[str, int]:
        if self._work.makes_graphs:
            return {}
        unused = claims.unused_graphs(self._database, self._gone)
        if apply:
            gone = retention.remove_graphs(self._database, list(unused), self._now)
            unused = {digest: unused[digest] for digest in gone}
        return unused

    def _unmentioned(self, outputs: Sequence[str], graphs: Mapping[str, int]) -> Unmentioned:
        unmentioned = self._home.unmentioned(outputs)
        for text, tenant in claims.mentions(self._database, self._path, self._gone, graphs):
            unmentioned.mention(text, tenant)
        unmentioned.follow()
        return unmentioned


def seconds(text: str) -> float:
    """A length of time as it is typed: a number and one of the units s, m, h, d, w.

    Raises:
        UsageError: it is not one.

    Example:
        >>> seconds("90d") / 86400, seconds("1.5h")
        (90.0, 5400.0)
    """
    found = _LENGTH.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            "this is no length of time", expected="a number and a unit: 30s, 15m, 12h, 90d, 4w", actual=text
        )
    return float(found[1]) * _UNITS[found[2]]
