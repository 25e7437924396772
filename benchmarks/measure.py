"""Time whole processes side by side: interleaved repetitions, so that a busy machine slows every case alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


class CaseFailedError(Exception):
    """A measured command did not succeed, so its time means nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """One command to time.

    Args:
        name: what the table calls it.
        command: the process to start.
        environment: variables on top of the caller's.
        against: the name of the case it is compared with; None for a baseline.
        reach: the ratio it should stay within; None when it is shown for comparison only.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    against: str | None = None
    reach: float | None = None


#: Units that the data spells out.
UNITS = {"ms": "milliseconds", "MB": "megabytes"}


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured.

    Args:
        name: the case.
        milliseconds: the median.
        against: what the ratio is to; None when the reach is in milliseconds.
        ratio: this median over the other's.
        reach: the most it should be.
        unit: what ``milliseconds`` holds where it is no time, which is said so in the data.
    """

    name: str
    milliseconds: float
    against: str | None = None
    ratio: float | None = None
    reach: float | None = None
    unit: str = "ms"

    @property
    def within(self) -> bool | None:
        """Whether the reach is kept; None when there is none.

        Example:
            >>> Result("import", 30.0, against="bare", ratio=3.0, reach=4.0).within
            True
        """
        if self.reach is None:
            return None
        return (self.milliseconds if self.ratio is None else self.ratio) <= self.reach

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            UNITS.get(self.unit, self.unit): round(self.milliseconds, 3),
            "against": self.against,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "reach": self.reach,
            "within": self.within,
        }


# An installed library has its bytecode beside it; an environment that forbids writing it would time the compiler.
_SETTLED = {"PYTHONDONTWRITEBYTECODE": ""}


def start(case: Case) -> float:
    """Run the case once; the wall time of the whole process in milliseconds.

    Raises:
        CaseFailedError: it exited with an error.
    """
    began = time.perf_counter()
    done = subprocess.run(
        case.command, env={**os.environ, **_SETTLED, **case.environment}, capture_output=True, text=True, check=False
    )
    took = (time.perf_counter() - began) * 1000
    if done.returncode:
        raise CaseFailedError(f"{case.name}: {' '.join(case.command)}\n{done.stdout}{done.stderr}")
    return took


def measure(cases: Sequence[Case], repetitions: int, announce: Callable[[str], None]) -> list[Result]:
    """Medians of all cases, each repetition going through every one of them in turn.

    Args:
        cases: what to time; a case stands after the one it is compared with.
        repetitions: how often. One more goes before, to warm the caches, and does not count.
        announce: told once per round.
    """
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    for case in cases:
        start(case)
    for round_number in range(1, repetitions + 1):
        announce(f"round {round_number} of {repetitions}")
        for case in cases:
            times[case.name].append(start(case))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    return [
        Result(
            case.name,
            medians[case.name],
            case.against,
            None if case.against is None else medians[case.name] / medians[case.against],
            case.reach,
        )
        for case in cases
    ]
