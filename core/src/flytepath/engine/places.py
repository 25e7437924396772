"""The folders of an execution: where attempts work, leave checkpoints, and keep files that outlive them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one execution below the home."""

    home: Path
    execution: str

    @property
    def attempts(self) -> Path:
        """Working directories; removed when nothing runs."""
        return self.home / "attempts" / self.execution

    @property
    def checkpoints(self) -> Path:
        """What attempts leave for the next of their node; removed when the execution has ended well."""
        return self.home / "checkpoints" / self.execution

    def working_directory(self, node: str, attempt: int) -> Path:
        """An attempt's own folder."""
        return self.attempts / _name(node) / str(attempt)

    @property
    def logs(self) -> Path:
        """What attempts that run have printed so far; kept as blobs when they end."""
        return self.home / "logs" / self.execution

    def log(self, node: str, attempt: int) -> Path:
        """The file that takes what an attempt prints."""
        return self.logs / _name(node) / f"{attempt}.log"

    def of_attempt(self, node: str, attempt: int, recovers: str = "", recovered_attempts: int = 0) -> dict[str, Any]:
        """The folders an attempt is told of.

        Args:
            node: where it runs.
            attempt: its number.
            recovers: the execution that this one recovers.
            recovered_attempts: how many attempts the node had there.
        """
        name = _name(node)
        own = self.checkpoints / name
        earlier = [own / str(number) for number in range(attempt - 1, 0, -1)]
        if recovers:
            former = self.home / "checkpoints" / recovers / name
            earlier += [former / str(number) for number in range(recovered_attempts, 0, -1)]
        return {
            "working_directory": str(self.working_directory(node, attempt)),
            "checkpoint_sources": tuple(str(folder) for folder in earlier),
            "checkpoint_destination": str(own / str(attempt)),
            "raw_output_prefix": str(self.home / "outputs" / self.execution / name / str(attempt)),
            "log_path": str(self.log(node, attempt)),
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
