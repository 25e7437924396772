"""The errors of validation: data that does not meet its expectations, and validations that could not take place."""

from __future__ import annotations

from flytepath.plugin import BoundaryCheckError, DefinitionError, TaskFailedError


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


class ContextRootError(DefinitionError):
    """A context root is not there, cannot be read, or does not hold what is asked of it."""

    code = "FP-GX-CONTEXT"


class DataSourceError(TaskFailedError):
    """The data could not be reached or read: a database that refuses, a query that fails, a file in another format.

    Unlike a validation that failed it is retried as ``retries`` says: a database may be back.
    """

    code = "FP-GX-DATA"


class ActionFailedError(TaskFailedError):
    """An action after a validation failed. The validation itself took place, and its deck is there."""

    code = "FP-GX-ACTION"
