"""The supervisor of a gang: starts it, starts it again where it may, and makes one error of those of its ranks.

A rank that fails ends the others within seconds. The error that is raised is that of the rank which failed first.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

import cloudpickle
from flytepath import current_context
from flytepath.plugin import NO_OUTPUT

from flyte_plugin_pytorch import handover
from flyte_plugin_pytorch.errors import RankDiedError, RankFailedError, RankOutOfMemoryError, RankTracebackError
from flyte_plugin_pytorch.gang import GRACE_SECONDS, Failure, Gang, Place, Starter, first_of
from flyte_plugin_pytorch.processes import Forked, check_fork, spawned
from flyte_plugin_pytorch.rank import Opening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flytepath.plugin import TaskContext

log = logging.getLogger(__name__)

#: After the first failure, how long others may take to tell of theirs, which may be the earlier one.
_OTHERS_SECONDS: Final = 1.0


class Layout(Protocol):
    """Says who the ranks of one round are."""

    def places(self, address: str, port: int, restarts: int) -> Sequence[Place]:
        """The ranks that are started here, for a store at ``address:port``, after so many restarts."""


@dataclass(slots=True)
class GangRun:
    """One attempt's work as a gang: what all its rounds have in common.

    Args:
        context: the attempt.
        inputs: what the body is called with.
        start_method: ``spawn`` or ``fork``.
    """

    context: TaskContext
    inputs: Mapping[str, Any]
    start_method: str

    @contextmanager
    def prepared(self) -> Iterator[PreparedRun]:
        """Everything that ranks are started with; what lies on the disk goes away at the end."""
        name = self.context.declaration.name
        if self.start_method == "fork":
            check_fork(name)
        with tempfile.TemporaryDirectory(prefix=".gang-", dir=self.context.working_directory) as folder:
            inputs = None
            if self.start_method == "spawn":
                inputs = str(Path(folder) / "inputs")
                try:
                    handover.dump(self.inputs, Path(inputs))
                except (pickle.PicklingError, TypeError, AttributeError) as error:
                    raise RankFailedError(
                        f"the inputs cannot be handed to another process: {error}",
                        place=name,
                        expected="inputs that can be pickled",
                        hint='start_method="fork" hands them over as they are',
                    ) from error
            yield PreparedRun(self, Path(folder), inputs)


class PreparedRun:
    """Makes the gangs of an attempt, and settles what they came to."""

    def __init__(self, run: GangRun, folder: Path, inputs: str | None) -> None:
        self._run = run
        self._folder = folder
        self._inputs = inputs
        self._attempt = run.context.carried()
        self._rounds = 0

    def gang(self, places: Sequence[Place]) -> Gang:
        """A gang, started."""
        self._rounds += 1
        opening = Opening(self._attempt, self._inputs, str(self._result), os.getpid())
        start: Starter = spawned if self._inputs is not None else Forked(opening, self._run.inputs)
        gang = Gang(places, start, self._run.context.heard)
        # By cloudpickle, because payloads and identities of core are plain, and a function of a script is not.
        gang.start(opening if self._inputs is not None else None)
        return gang

    @property
    def _result(self) -> Path:
        return self._folder / f"result-{self._rounds}"

    def result(self, gang: Gang) -> Any:
        """What rank 0 returned; ``NO_OUTPUT`` where it is another machine's."""
        if not gang.has_result:
            return NO_OUTPUT
        try:
            return handover.load(self._result)
        except (pickle.UnpicklingError, TypeError, AttributeError, ImportError) as error:
            raise RankFailedError(
                f"what rank 0 returned cannot be taken out of its process: {error}",
                place=self._run.context.declaration.name,
            ) from error


def supervise(run: GangRun, layout: Layout, *, restarts: int, interval: float, world_size: int) -> Any:
    """Run the body in a gang on this machine; what rank 0 returned.

    Args:
        run: the attempt.
        layout: the ranks.
        restarts: how often a gang that failed is started again.
        interval: the longest time between two looks at the ranks, in seconds.
        world_size: how many ranks there are.

    Raises:
        RankDiedError: a rank died.
        RankFailedError: a rank raised what cannot be carried here; otherwise what it raised is raised.
    """
    kills = oom_kills()
    with run.prepared() as prepared:
        for done in range(restarts + 1):
            with store() as (address, port):
                gang = prepared.gang(layout.places(address, port, done))
                try:
                    attend_to_the_end(gang, interval)
                    if gang.is_done:
                        return prepared.result(gang)
                    failure = settled(gang)
                finally:
                    gang.stop(GRACE_SECONDS)
            if done == restarts:
                raise_for(failure, world_size, run.context.declaration.name, oom_kills() - kills)
            log.warning("%s; the gang is started again (%d of %d)", told(failure, world_size), done + 1, restarts)
    raise AssertionError("a gang has at least one round")


def attend_to_the_end(gang: Gang, interval: float) -> None:
    """Listen to a gang until it is done or a rank has failed. A preempted attempt ends here.

    Raises:
        RankDiedError: the worker was told to go; core reports the attempt as preempted.
    """
    checkpoint = current_context().checkpoint
    while not gang.is_over and not gang.failures:
        if checkpoint.preempted:
            tell_of_preemption(gang)
        gang.attend(interval)
    if checkpoint.preempted:
        tell_of_preemption(gang)


def tell_of_preemption(gang: Gang) -> NoReturn:
    """Let the ranks save what they have. Core ends this process at the deadline, and they go with it.

    Raises:
        RankDiedError: always, when they have ended.
    """
    gang.tell_to_go()
    while gang.is_running:
        gang.attend(0.05)
    raise RankDiedError("the gang was told to go")


def settled(gang: Gang) -> Failure:
    """The failure that made the others, once those had the time to tell of theirs."""
    gang.attend_until(time.monotonic() + _OTHERS_SECONDS)
    return first_of(gang.failures)


@contextmanager
def store() -> Iterator[tuple[str, int]]:
    """Where the ranks of this machine find each other: a store on the loopback interface, on a port of its own."""
    from torch.distributed import TCPStore

    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    # The store takes the descriptor over, so nobody can come between finding the port and using it.
    kept = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach())
    try:
        yield "127.0.0.1", port
    finally:
        del kept


def told(failure: Failure, world_size: int) -> str:
    """One line about a failure."""
    who = f"rank {failure.rank} of {world_size} (process {failure.pid})"
    if failure.report is not None:
        return f"{who} raised {failure.report.kind}: {failure.report.message}"
    if failure.status < 0:
        return f"{who} was killed by {_signal_name(-failure.status)}"
    return f"{who} ended with exit status {failure.status}"


def raise_for(failure: Failure, world_size: int, task: str, kills: int = 0) -> NoReturn:
    """Raise what a rank raised, with its traceback as the cause, or that it died.

    Args:
        failure: of which rank, and how.
        world_size: how many ranks there are.
        task: its name.
        kills: how many processes the machine has killed for want of memory meanwhile.
    """
    report = failure.report
    if report is None:
        raise _death(failure, world_size, task, kills)
    who = f"rank {failure.rank} of {world_size}"
    cause = RankTracebackError(f"in {who}:\n{report.trace}")
    error: BaseException
    if report.error:
        error = cloudpickle.loads(report.error)
    else:
        error = RankFailedError(f"{report.kind}: {report.message}", place=f"{task}, {who}")
    error.__cause__ = cause
    error.add_note(f"in {who}")
    raise error


def _death(failure: Failure, world_size: int, task: str, kills: int) -> RankDiedError:
    message = told(failure, world_size)
    kind: type[RankDiedError]
    if failure.status >= 0:
        hint = "something in the task ended the process, such as os._exit() or a library that gave up"
        kind = RankDiedError
    elif failure.status == -signal.SIGKILL and kills:
        message += ": the machine ran out of memory"
        hint = "each rank has its own model and data: start fewer of them, or hold less at once"
        kind = RankOutOfMemoryError
    elif failure.status == -signal.SIGKILL:
        hint, kind = "the machine may be short of memory, or somebody has killed it", RankDiedError
    else:
        hint, kind = "a library in the task crashed", RankDiedError
    error = kind(message, place=task, hint=hint)
    if failure.printed:
        error.__cause__ = RankTracebackError(f"rank {failure.rank} printed last:\n{failure.printed}")
    return error


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        return f"signal {number}"


def oom_kills() -> int:
    """How many processes this machine has killed for want of memory since it came up; 0 where nobody counts."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
