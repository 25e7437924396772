"""What a validation found, as data that travels between tasks."""

from __future__ import annotations

from dataclasses import dataclass, field

from flytepath import FlyteFile


@dataclass(frozen=True, slots=True)
class ExpectationFailure:
    """One expectation that the data does not meet.

    Args:
        expectation: its type, for example ``expect_column_values_to_not_be_null``.
        column: the column, or columns joined by commas; ``None`` for an expectation on the whole table.
        observed: what was seen, as text: the observed value, or examples of unexpected values.
        unexpected_count: how many values (or rows) were unexpected; ``None`` where the library does not count.
        unexpected_percent: their share of the values that were looked at, from 0 to 100.
        message: one line with all of that.
    """

    expectation: str
    column: str | None
    observed: str
    unexpected_count: int | None
    unexpected_percent: float | None
    message: str


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The outcome of a suite on one dataset.

    Args:
        success: whether every expectation was met.
        evaluated, successful, failed: how many expectations.
        failures: those that were not met, in the order of the suite.
        engine: what evaluated them, for example ``great_expectations 1.24.1 (pandas)``.
        suite: the suite or checkpoint.
        report: everything the library found, as JSON; ``None`` at a task's boundary, where the event has it.

    Example:
        >>> ValidationResult(success=True, evaluated=2, successful=2, failed=0).summary()
        'all 2 expectations met'
    """

    success: bool
    evaluated: int
    successful: int
    failed: int
    failures: list[ExpectationFailure] = field(default_factory=list)
    engine: str = ""
    suite: str = ""
    report: FlyteFile | None = None

    def summary(self) -> str:
        """The outcome in a few words."""
        if self.success:
            return f"all {self.evaluated} expectations met"
        return f"{self.failed} of {self.evaluated} expectations not met"
