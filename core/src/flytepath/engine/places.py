"""The folders of an execution: where attempts work, leave checkpoints, and keep files that outlive them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any


class Places:
    """The folders of one execution below the home.

    Attributes:
        attempts: working directories; removed when nothing runs.
        checkpoints: what attempts leave for the next of their node; removed when the execution has ended well.
        logs: what attempts that run have printed so far; kept as blobs when they end.
        outputs: files that attempts leave beside their outputs.
    """

    def __init__(self, home: Path, execution: str) -> None:
        self.home = home
        self.execution = execution
        self.attempts = home / "attempts" / execution
        self.checkpoints = home / "checkpoints" / execution
        self.logs = home / "logs" / execution
        self.outputs = home / "outputs" / execution

    def log(self, node: str, attempt: int) -> Path:
        """The file that takes what an attempt prints."""
        return self.logs / _name(node) / f"{attempt}.log"

    def of_attempt(self, node: str, attempt: int, recovers: str = "", recovered_attempts: int = 0) -> dict[str, Any]:
        """The folders an attempt is told of, as texts: they are put together for every attempt.

        Args:
            node: where it runs.
            attempt: its number.
            recovers: the execution that this one recovers.
            recovered_attempts: how many attempts the node had there.
        """
        name = _name(node)
        own = f"{self.checkpoints}{os.sep}{name}{os.sep}"
        earlier = [f"{own}{number}" for number in range(attempt - 1, 0, -1)]
        if recovers:
            former = f"{self.home / 'checkpoints' / recovers / name}{os.sep}"
            earlier += [f"{former}{number}" for number in range(recovered_attempts, 0, -1)]
        return {
            "working_directory": f"{self.attempts}{os.sep}{name}{os.sep}{attempt}",
            "checkpoint_sources": tuple(earlier),
            "checkpoint_destination": f"{own}{attempt}",
            "raw_output_prefix": f"{self.outputs}{os.sep}{name}{os.sep}{attempt}",
            "log_path": f"{self.logs}{os.sep}{name}{os.sep}{attempt}.log",
        }

    def sweep(self, *, ended: bool, well: bool) -> None:
        """Remove what nobody needs any more, of an execution that nothing runs of."""
        shutil.rmtree(self.attempts, ignore_errors=True)
        if ended:
            shutil.rmtree(self.logs, ignore_errors=True)
        if well:
            shutil.rmtree(self.checkpoints, ignore_errors=True)


def _name(node: str) -> str:
    return node.replace("/", "-")
