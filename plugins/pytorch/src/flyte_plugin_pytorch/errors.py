"""What goes wrong in a gang: a rank that raised what cannot be carried, and a rank that died."""

from __future__ import annotations

from flytepath.plugin import TaskFailedError, WorkerError


class RankFailedError(TaskFailedError):
    """A rank raised something that cannot be carried to another process as it is; the message has its type and text."""

    code = "FP-TORCH-RANK-FAILED"


class RankDiedError(WorkerError):
    """A rank ended without saying why: by a signal, or by ``os._exit``. A failure of the system."""

    code = "FP-TORCH-RANK-DIED"


class RankOutOfMemoryError(RankDiedError):
    """A rank was killed because the machine ran out of memory."""

    code = "FP-OUT-OF-MEMORY"


class RankTracebackError(Exception):
    """The traceback of a rank, as text: the cause of the error that is raised for it here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n\n{self.text}"
