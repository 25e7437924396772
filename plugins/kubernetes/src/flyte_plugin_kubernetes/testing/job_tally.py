"""What a Job's pods add up to: indexes done and failed, failures counted or ignored, and whether that is the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

INDEX = "batch.kubernetes.io/job-completion-index"


def index_text(indexes: Iterable[int]) -> str:
    """Indexes as a Job's status writes them.

    Example:
        >>> index_text([0, 1, 2, 5, 7, 8])
        '0-2,5,7,8'
    """
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    # Two neighbours are written apart: a dash stands for three or more.
    words = []
    for first, last in runs:
        words += [str(first)] if first == last else [f"{first},{last}" if last == first + 1 else f"{first}-{last}"]
    return ",".join(words)


def read_indexes(text: str) -> set[int]:
    """The indexes that a text means.

    Example:
        >>> sorted(read_indexes("0-2,5"))
        [0, 1, 2, 5]
    """
    found: set[int] = set()
    for piece in filter(None, text.split(",")):
        first, _, last = piece.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def index_of(pod: Json) -> int | None:
    """Which index a pod works on."""
    text = (pod["metadata"].get("annotations") or {}).get(INDEX)
    return None if text is None else int(text)


def policy_action(spec: Json, pod: Json) -> tuple[str, str]:
    """What a Job's ``podFailurePolicy`` says of a failed pod: the action and, for ``FailJob``, the words."""
    for at, rule in enumerate((spec.get("podFailurePolicy") or {}).get("rules") or ()):
        place = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        if rule.get("onExitCodes"):
            found = _matching_container(rule["onExitCodes"], pod)
            if found is not None:
                words = f"Container {found[0]} for pod {place} failed with exit code {found[1]}"
                return rule["action"], f"{words} matching {rule['action']} rule at index {at}"
        for pattern in rule.get("onPodConditions") or ():
            for condition in (pod.get("status") or {}).get("conditions") or ():
                status = pattern.get("status", "True")
                if condition["type"] == pattern["type"] and condition["status"] == status:
                    words = f"Pod {place} has condition {condition['type']}"
                    return rule["action"], f"{words} matching {rule['action']} rule at index {at}"
    return "Count", ""


def _matching_container(wanted: Json, pod: Json) -> tuple[str, int] | None:
    status: Json = pod.get("status") or {}
    for one in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        ended = (one.get("state") or {}).get("terminated")
        if ended is None or ended["exitCode"] == 0 or wanted.get("containerName") not in (None, one["name"]):
            continue
        if (ended["exitCode"] in wanted["values"]) is (wanted["operator"] == "In"):
            return one["name"], ended["exitCode"]
    return None


@dataclass(slots=True)
class Tally:
    """The count of one Job.

    Args:
        ending: type, reason and message of the condition that is to come, once no pod runs any more.
    """

    succeeded: int = 0
    failed: int = 0
    completed: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    failures: dict[int, int] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)
    ending: tuple[str, str, str] | None = None
    next_start: float = 0.0
    begun: float | None = None

    @classmethod
    def of_status(cls, job: Json) -> Tally:
        """As a Job's status tells it."""
        status: Json = job.get("status") or {}
        return cls(
            succeeded=status.get("succeeded", 0),
            failed=status.get("failed", 0),
            completed=read_indexes(status.get("completedIndexes", "")),
            failed_indexes=read_indexes(status.get("failedIndexes", "")),
        )

    def count(self, spec: Json, pod: Json) -> bool:
        """Counts a pod that has ended; gives whether it was a failure that a delay should follow."""
        index = index_of(pod)
        if (pod.get("status") or {}).get("phase") == "Succeeded":
            self.succeeded += 1
            if index is not None:
                self.completed.add(index)
            return False
        action, words = policy_action(spec, pod)
        if action == "Ignore":
            return False
        self.failed += 1
        if action == "FailJob":
            self.ending = self.ending or ("Failed", "PodFailurePolicy", words)
        if index is not None:
            self.failures[index] = self.failures.get(index, 0) + 1
            limit = spec.get("backoffLimitPerIndex")
            if action == "FailIndex" or (limit is not None and self.failures[index] > limit):
                self.failed_indexes.add(index)
        return True

    def decide(self, spec: Json, restarts: int, active: int) -> None:
        """Sets ``ending`` where it is the end.

        Args:
            restarts: of containers in place, under ``restartPolicy: OnFailure``.
            active: pods that run or are to.
        """
        if self.ending is not None:
            return
        if self.failed > spec["backoffLimit"] or restarts > spec["backoffLimit"]:
            self.ending = ("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
            return
        most = spec.get("maxFailedIndexes")
        if most is not None and len(self.failed_indexes) > most:
            words = "Job has exceeded the specified maximal number of failed indexes"
            self.ending = ("Failed", "MaxFailedIndexesExceeded", words)
            return
        completions = spec.get("completions")
        reached = ("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        if spec.get("completionMode") == "Indexed":
            if len(self.completed) == completions:
                self.ending = reached
            elif len(self.completed | self.failed_indexes) == completions:
                self.ending = ("Failed", "FailedIndexes", "Job has failed indexes")
        elif completions is None:
            if self.succeeded and not active:
                self.ending = reached
        elif self.succeeded >= completions:
            self.ending = reached
