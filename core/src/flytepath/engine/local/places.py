"""The folders of an execution: where attempts work, leave checkpoints, and keep files that outlive them."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

from flytepath.errors import StoreError
from flytepath.model.messages import AttemptFacts
from flytepath.store.remote_files import files_at

log = logging.getLogger("flytepath")


class Places:
    """The folders of one execution below the home.

    Attributes:
        attempts: working directories; removed when nothing runs.
        checkpoints: what attempts leave for the next of their node; removed when the execution has ended well.
        logs: what attempts that run have printed so far; kept as blobs when they end.
        outputs: files that attempts leave beside their outputs.

    Args:
        home: the home.
        execution: its id.
        shared: where checkpoints and outputs lie instead, so that every machine finds them: a URL or a folder.
    """

    def __init__(self, home: Path, execution: str, shared: str = "") -> None:
        self.home = home
        self.execution = execution
        self.attempts = home / "attempts" / execution
        self._kept = shared or str(home)
        self.checkpoints = f"{self._kept}/checkpoints/{execution}"
        self.logs = home / "logs" / execution
        self.outputs = f"{self._kept}/outputs/{execution}"

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
        own = f"{self.checkpoints}/{name}/"
        earlier = [f"{own}{number}" for number in range(attempt - 1, 0, -1)]
        if recovers:
            former = f"{self._kept}/checkpoints/{recovers}/{name}/"
            earlier += [f"{former}{number}" for number in range(recovered_attempts, 0, -1)]
        return {
            "working_directory": f"{self.attempts}{os.sep}{name}{os.sep}{attempt}",
            "checkpoint_sources": tuple(earlier),
            "checkpoint_destination": f"{own}{attempt}",
            "raw_output_prefix": f"{self.outputs}/{name}/{attempt}",
            "log_path": f"{self.logs}{os.sep}{name}{os.sep}{attempt}.log",
        }

    def sweep(self, *, ended: bool, well: bool) -> None:
        """Remove what nobody needs any more, of an execution that nothing runs of."""
        shutil.rmtree(self.attempts, ignore_errors=True)
        if ended:
            shutil.rmtree(self.logs, ignore_errors=True)
        if well:
            _remove(self.checkpoints)


def shelf_of(attempt: AttemptFacts) -> str:
    """Where the files of all attempts of its execution lie."""
    return attempt.raw_output_prefix.rsplit("/", 2)[0]


def outcome_place(shelf: str, node: str, attempt: int) -> str:
    """Where a worker elsewhere leaves the outcome of an attempt: beside its files.

    Example:
        >>> outcome_place("s3://bucket/p/d/outputs/x1", "n0/3", 2)
        's3://bucket/p/d/outputs/x1/n0-3/2.outcome'
    """
    return f"{shelf}/{_name(node)}/{attempt}.outcome"


def _remove(folder: str) -> None:
    """Remove a folder, wherever it is; what cannot be removed stays."""
    if "://" not in folder:
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        files, path = files_at(folder, "checkpoints", StoreError)
        files.rm(path, recursive=True)
    except FileNotFoundError:
        return  # nobody saved anything
    except Exception as error:  # noqa: BLE001 - it does not matter to an execution that has ended well
        log.warning("checkpoints at %s are left behind: %s", folder, error)


def _name(node: str) -> str:
    return node.replace("/", "-")
