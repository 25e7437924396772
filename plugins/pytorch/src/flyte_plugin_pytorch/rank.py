"""A rank's process: enter the attempt, call the body, and say how that went."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cloudpickle

from flyte_plugin_pytorch import handover
from flyte_plugin_pytorch.channel import Done, Failed, RankEnd
from flyte_plugin_pytorch.lost_peers import is_lost_peer

#: The exit status of a rank whose body has raised.
RAISED: Final = 1


@dataclass(frozen=True, slots=True)
class Opening:
    """What every rank is told first.

    Args:
        attempt: the attempt, as core carries it.
        inputs: the file with the inputs; ``None``: they are at hand, because this process was forked.
        result: where rank 0 leaves what its body returns.
        parent: the supervisor's process, without which no rank goes on.
    """

    attempt: Any
    inputs: str | None
    result: str
    parent: int


def main() -> None:
    """The process of a rank that was started anew: the channel's descriptor is the last argument."""
    faulthandler.enable()  # to the log of the attempt
    end = RankEnd(socket.socket(fileno=int(sys.argv.pop())))
    opening: Opening = end.receive()
    # What libraries do at the end of a process is done: a tracker sends the rest. The supervisor waits so long only.
    sys.exit(run(end, opening, lambda: handover.load(Path(opening.inputs or ""))))


def leave(status: int) -> None:
    """End this process, which is a copy, without what the original does at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = status or RAISED
    os._exit(status)


def run(end: RankEnd, opening: Opening, inputs: Any) -> int:
    """Run the body as this rank; the exit status.

    Args:
        end: the channel.
        opening: see there.
        inputs: gives the inputs.
    """
    _die_with(opening.parent)
    rank = int(os.environ["RANK"])
    try:
        with opening.attempt.entered(end.tell, member="" if rank == 0 else f"rank {rank}") as (_context, call_body):
            try:
                returned = call_body(inputs())
            finally:
                _leave_process_group()
            if rank == 0:
                _keep(returned, opening.result)
    except BaseException as error:  # noqa: BLE001 - a task may raise anything, and it is what the rank came to
        end.say(_failed(error))
        return RAISED
    end.say(Done(has_result=rank == 0))
    return 0


def _keep(returned: Any, path: str) -> None:
    try:
        handover.dump(returned, Path(path))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise TypeError(
            f"what rank 0 returned cannot be carried out of its process: {error}. Return values that can be pickled"
        ) from error


def _leave_process_group() -> None:
    """End torch's default process group where the body has left it, or its threads complain when the process ends."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        failed = sys.exc_info()[0] is not None
        # After a failure the others may never come; the process ends anyway.
        if not failed:
            distributed.destroy_process_group()


def _failed(error: BaseException) -> Failed:
    frames = traceback.extract_tb(error.__traceback__)
    ours = str(Path(__file__))
    while frames and (frames[0].filename == ours or _is_core(frames[0].filename)):
        del frames[0]
    text = "".join(traceback.format_list(frames))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = "".join(traceback.format_exception(cause)) + "\n" if cause is not None else ""
    last = "".join(traceback.format_exception_only(error))
    trace = f"{before}Traceback (most recent call last):\n{text}{last}"
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
    return Failed(time.time(), _carried(error), name, str(error), trace, is_lost_peer(error))


def _is_core(filename: str) -> bool:
    import flytepath

    return filename.startswith(str(Path(flytepath.__file__).parent))


def _carried(error: BaseException) -> bytes:
    """The exception, if another process can have it just as it is."""
    try:
        data: bytes = cloudpickle.dumps(error)
        back = cloudpickle.loads(data)
    except Exception:  # noqa: BLE001 - whatever its class does there: its text is told instead
        return b""
    return data if type(back) is type(error) and str(back) == str(error) else b""


def _die_with(parent: int) -> None:
    """End this process when the supervisor is gone, however that ended."""
    if sys.platform == "linux":
        import ctypes

        set_death_signal = 1
        ctypes.CDLL(None, use_errno=True).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch, args=(parent,), name="flytepath-supervisor", daemon=True).start()
    if os.getppid() != parent:
        os._exit(RAISED)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(RAISED)
