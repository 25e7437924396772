"""The errors of validation: data that does not meet its expectations, and expectations that cannot be evaluated."""

from __future__ import annotations

from flytepath.plugin import BoundaryCheckError


class ValidationFailedError(BoundaryCheckError):
    """The data does not meet its expectations; ``actual`` has a line for each that failed.

    Like every refusal of a value it is not retried: the same data would be refused again.
    """

    code = "FP-GX-VALIDATION-FAILED"


class ExpectationError(BoundaryCheckError):
    """An expectation could not be evaluated: an unknown type or argument, or a column that is not there.

    It is raised whatever ``on_failure`` says: a check that did not take place has not passed.
    """

    code = "FP-GX-EXPECTATION"
