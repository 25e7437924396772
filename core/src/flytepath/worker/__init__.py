"""The worker: runs attempts of tasks, one at a time, for the engine at the other end of its connection.

Started as ``<python> -m flytepath.worker --messages FD``: :mod:`~flytepath.worker.serving` speaks with the engine,
:mod:`~flytepath.worker.attempts` runs an attempt, and :mod:`~flytepath.worker.surroundings` sees to it that the next
finds everything as this one did. :class:`InProcessPool` runs attempts without all that, for debuggers.
"""

from __future__ import annotations

from flytepath.worker.attempts import AttemptRunner, find_task
from flytepath.worker.failures import error_record
from flytepath.worker.in_process import InProcessPool

__all__ = ["AttemptRunner", "InProcessPool", "error_record", "find_task"]
