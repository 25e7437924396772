"""The folders of an execution: where attempts work, leave checkpoints, and keep files that outlive them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The file that puts a checkpoint in force; a folder without it holds none.
CHECKPOINT_FILE = "checkpoint.json"


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

    def of_attempt(self, node: str, attempt: int) -> dict[str, Any]:
        """The folders an attempt is told of."""
        own = self.checkpoints / _name(node)
        earlier = (own / str(number) for number in range(attempt - 1, 0, -1))
        source = next((folder for folder in earlier if (folder / CHECKPOINT_FILE).exists()), None)
        return {
            "working_directory": str(self.working_directory(node, attempt)),
            "checkpoint_source": None if source is None else str(source),
            "checkpoint_destination": str(own / str(attempt)),
            "raw_output_prefix": str(self.home / "outputs" / self.execution / _name(node) / str(attempt)),
        }

    def sweep(self, *, ended_well: bool) -> None:
        """Remove what nobody needs any more."""
        shutil.rmtree(self.attempts, ignore_errors=True)
        if ended_well:
            shutil.rmtree(self.checkpoints, ignore_errors=True)


def _name(node: str) -> str:
    return node.replace("/", "-")
