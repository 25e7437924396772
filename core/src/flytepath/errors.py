"""Every error FlytePath raises: a stable code, the place, what was expected, what came, and a hint.

The command line prints these fields and nothing else, so an error must make sense without a traceback.
Subclasses mix in the built-in exception a Python user would catch (``TypeError``, ``ValueError``, ...).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal


class FlytePathError(Exception):
    """The base of every error of ours.

    Args:
        message: one sentence that says what is wrong.
        place: where: a file, a key, a task and argument path such as ``train(config.layers[3].units)``.
        expected: what would have been right.
        actual: what came instead.
        hint: what the reader can do about it.

    Example:
        >>> error = UsageError("unknown workflow 'pipelin'", place="flow.py", hint="did you mean 'pipeline'?")
        >>> print(error)
        [FP-USAGE] unknown workflow 'pipelin'
          at: flow.py
          hint: did you mean 'pipeline'?
    """

    code: ClassVar[str] = "FP-ERROR"
    exit_status: ClassVar[int] = 1
    #: Whose fault it is where a task raises it: a failure of the system is retried on the system's budget.
    blame: ClassVar[Literal["user", "system"]] = "user"

    def __init__(
        self,
        message: str,
        *,
        place: str | None = None,
        expected: str | None = None,
        actual: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.expected = expected
        self.actual = actual
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"[{self.code}] {self.message}"]
        fields = (("at", self.place), ("expected", self.expected), ("actual", self.actual), ("hint", self.hint))
        lines += [f"  {label}: {text}" for label, text in fields if text]
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.place, self.expected, self.actual, self.hint))

    def to_json(self) -> dict[str, str | None]:
        """The same fields as plain data, for ``--json`` output and for the event log."""
        return {
            "code": self.code,
            "message": self.message,
            "place": self.place,
            "expected": self.expected,
            "actual": self.actual,
            "hint": self.hint,
        }


def _rebuild(
    kind: type[FlytePathError],
    message: str,
    place: str | None,
    expected: str | None,
    actual: str | None,
    hint: str | None,
) -> FlytePathError:
    return kind(message, place=place, expected=expected, actual=actual, hint=hint)


# --- what the caller typed ---------------------------------------------------------------------------------------


class UsageError(FlytePathError, ValueError):
    """The command or call cannot be understood: an unknown name, a missing file, a bad option."""

    code = "FP-USAGE"
    exit_status = 2


class ConfigError(FlytePathError, ValueError):
    """A configuration file or variable is wrong. ``place`` names the file and the key."""

    code = "FP-CONFIG"
    exit_status = 2


class AssertionFailedError(FlytePathError, AssertionError):
    """What was written or called can never work. The base of all errors of definition, compilation and calling."""

    code = "FP-ASSERTION"
    exit_status = 2


class ValidationError(AssertionFailedError):
    """What was written does not fit together."""

    code = "FP-VALIDATION"


class InputError(AssertionFailedError, TypeError, ValueError):
    """A task or workflow was given inputs it does not take, or not all it needs."""

    code = "FP-INPUT"


class UnknownInputError(InputError):
    """An input that the task or workflow does not have, or one input twice."""

    code = "FP-UNKNOWN-INPUT"


class MissingInputError(InputError):
    """An input without a default was not given."""

    code = "FP-MISSING-INPUT"


# --- what the author wrote ---------------------------------------------------------------------------------------


class DefinitionError(AssertionFailedError, TypeError, ValueError):
    """A task, type or workflow is declared in a way that can never run."""

    code = "FP-DEFINITION"


class MissingAnnotationError(DefinitionError):
    """An input, or what is returned, has no type."""

    code = "FP-MISSING-ANNOTATION"


class MissingReturnError(DefinitionError):
    """A function declares that it returns a value and has no return statement."""

    code = "FP-MISSING-RETURN"


class NestedTaskError(DefinitionError):
    """A worker could not find this task: no module variable holds it."""

    code = "FP-NESTED-TASK"


class AmbiguousUnionError(DefinitionError):
    """A union whose alternatives cannot be told apart by the class of a value."""

    code = "FP-AMBIGUOUS-UNION"


class DefaultValueError(DefinitionError):
    """A default is not of the type that its input declares, or could not be kept."""

    code = "FP-DEFAULT"


class CompileError(ValidationError, TypeError, ValueError):
    """A workflow's nodes do not fit together. One error may report several ``findings``, a line each."""

    code = "FP-COMPILE"
    findings: tuple[FlytePathError, ...] = ()


class TypeMismatchError(CompileError):
    """What a node gives is not of the type of the place it goes to."""

    code = "FP-TYPE-MISMATCH"


class CycleError(CompileError):
    """Nodes wait for each other in a circle."""

    code = "FP-CYCLE"


class UnboundOutputError(CompileError):
    """An output that a workflow declares gets no value."""

    code = "FP-UNBOUND-OUTPUT"


class PromiseError(CompileError):
    """Python would have to compute with a value that is not there until the workflow runs."""

    code = "FP-PROMISE"


class PromiseBranchError(PromiseError):
    """Python's ``if``, ``and``, ``or`` or ``not`` on a value that is not there until the workflow runs."""

    code = "FP-PROMISE-BRANCH"


class ForeignPromiseError(CompileError):
    """A promise that stands for nothing in this workflow: another's, or a part that does not exist."""

    code = "FP-FOREIGN-PROMISE"


class ConditionalError(CompileError):
    """A conditional that is not complete, or whose cases give different things."""

    code = "FP-CONDITIONAL"


class OverrideError(CompileError):
    """An override that the node's task cannot honour, or that is not understood."""

    code = "FP-OVERRIDE"


class LaunchPlanError(DefinitionError):
    """A launch plan's name is taken by one with other values, or its inputs are not the workflow's."""

    code = "FP-LAUNCH-PLAN"


class EntityReferenceError(FlytePathError, LookupError):
    """A reference to a registered entity that is not there, or does not look as declared here."""

    code = "FP-REFERENCE"
    exit_status = 2


class TypeTransformerFailedError(FlytePathError, TypeError, ValueError):
    """A value is not of the type its place declares, or its literal cannot be read back."""

    code = "FP-TYPE"


class LiteralError(FlytePathError, ValueError):
    """A stored literal is malformed, or was written by a newer format than this version reads."""

    code = "FP-LITERAL"


# --- plugins -----------------------------------------------------------------------------------------------------


class PluginError(FlytePathError):
    """Something is wrong with an installed plugin; ``flytepath plugins doctor`` tells the whole story."""

    code = "FP-PLUGIN"


class PluginConflictError(PluginError):
    """Two distributions claim the same thing, and no route in the policy decides between them."""

    code = "FP-PLUGIN-CONFLICT"


class PluginNotFoundError(PluginError, LookupError):
    """Nothing enabled provides what was asked for. The hint says what to install or enable."""

    code = "FP-PLUGIN-MISSING"


class PluginQuarantinedError(PluginError):
    """The plugin that provides this is broken and was set aside."""

    code = "FP-PLUGIN-QUARANTINED"


class PluginDeniedError(PluginError, PermissionError):
    """The policy of this project and domain does not enable the plugin that provides this."""

    code = "FP-PLUGIN-DENIED"


# --- what is kept ------------------------------------------------------------------------------------------------


class StoreError(FlytePathError):
    """The event store, or the folder it lives in, cannot be read or written."""

    code = "FP-STORE"


class StoreCorruptError(StoreError):
    """The database file is damaged or is not a database. Nothing was written to it."""

    code = "FP-STORE-CORRUPT"


class StoreFullError(StoreError):
    """The disk is full. What was recorded before is intact."""

    code = "FP-STORE-FULL"


class StoreUnavailableError(StoreError):
    """The database server cannot be reached now. What was recorded before is intact; the same can be asked again."""

    code = "FP-STORE-UNAVAILABLE"


class SequenceConflictError(StoreError):
    """Another writer appended first, or this writer's lease has passed to another engine (fencing)."""

    code = "FP-STORE-FENCED"


class NotFoundError(FlytePathError, LookupError):
    """No such execution, entity or version."""

    code = "FP-NOT-FOUND"
    exit_status = 2


# --- what happens ------------------------------------------------------------------------------------------------


class ExecutionFailedError(FlytePathError):
    """An execution ended without success; ``place`` names the node that failed first."""

    code = "FP-EXECUTION-FAILED"


class ExecutionStateError(FlytePathError):
    """The command does not fit the state the execution is in."""

    code = "FP-EXECUTION-STATE"
    exit_status = 2


class TaskFailedError(FlytePathError):
    """A task's own code failed; the message carries the type and text of its exception."""

    code = "FP-TASK-FAILED"


class BranchFailedError(TaskFailedError, ValueError):
    """A conditional went to a case that says ``fail``."""

    code = "FP-BRANCH"


class GateError(TaskFailedError):
    """A gate was refused, timed out, or nobody is there to answer it."""

    code = "FP-GATE"


class MapFailedError(TaskFailedError):
    """Too few items of a map task succeeded."""

    code = "FP-MAP"


class EagerError(TaskFailedError):
    """Something an eager task called has failed; the cause is the failure itself."""

    code = "FP-EAGER"


class AttemptTimeoutError(TaskFailedError, TimeoutError):
    """Something took longer than it may."""

    code = "FP-TIMEOUT"


class BoundaryCheckError(TaskFailedError, ValueError):
    """A value was refused by a boundary check of its task."""

    code = "FP-BOUNDARY-CHECK"


class RecoverableError(FlytePathError):
    """Raised by a task to say: try again, a retry may succeed."""

    code = "FP-RECOVERABLE"


class WorkerError(FlytePathError):
    """A worker process died, spoke out of turn, or could not be started. A failure of the system, not the user."""

    code = "FP-WORKER"
    blame = "system"
