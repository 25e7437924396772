"""What goes wrong in Spark, told in a few lines: the class, the message, and who can do something about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import ClassVar, Final, Literal

from flytepath.plugin import FlytePathError


class SparkSetupError(FlytePathError):
    """No session can be had here: Java is missing, or what was asked for cannot be started."""

    code = "FP-SPARK-SETUP"


class SparkSessionConflictError(FlytePathError):
    """A session runs already, with settings that are not the task's and that no running session can take on."""

    code = "FP-SPARK-SESSION"


class SparkJobError(FlytePathError):
    """Spark refused or failed what the task asked of it; ``actual`` holds Spark's own error condition and SQLSTATE."""

    code = "FP-SPARK-JOB"


class SparkUnavailableError(FlytePathError):
    """The master or the Connect server cannot be reached, or has gone away: nobody's fault, tried again."""

    code = "FP-SPARK-UNAVAILABLE"
    blame: ClassVar[Literal["user", "system"]] = "system"


class SparkLostError(FlytePathError):
    """Executors went away together with their machines: nobody's fault, tried again."""

    code = "FP-SPARK-LOST"
    blame: ClassVar[Literal["user", "system"]] = "system"


#: Longer messages are cut: the rest is the plan or the stack of a Java program.
_MESSAGE_LIMIT: Final = 1500
#: Where the part of a message begins that only Spark's developers read.
_INTERNAL: Final = re.compile(
    r"\n\s*(?:at [\w$.<>]+\(|Driver stacktrace:|JVM stacktrace:|== Physical Plan|'?[A-Z]\w+ \[|\+- |:- |\tat )"
)
_FOREIGN: Final = re.compile(r"[/\\](?:pyspark|py4j|grpc|flyte_plugin_spark)[/\\]|[/\\]contextlib\.py$")
_OUT_OF_MEMORY: Final = re.compile(
    r"OutOfMemoryError|exceeding memory limits|exit (?:code|status):? ?(?:137|52)\b|Exit code: (?:137|52)\b"
)
_LOST: Final = re.compile(
    r"ExecutorLostFailure|executor \d+ exited|worker lost|Remote RPC client disassociated|FetchFailed|decommission",
    re.IGNORECASE,
)
_AWAY: Final = re.compile(
    r"All masters are unresponsive|Master removed our application|StatusCode\.UNAVAILABLE|failed to connect to all"
    r"|Connection refused|INVALID_HANDLE\.(?:SESSION|OPERATION)|Cannot call methods on a stopped SparkContext"
    r"|SparkContext was shut down|Answer from Java side is empty|RETRIES_EXCEEDED",
)


@contextmanager
def spark_errors(place: str) -> Iterator[None]:
    """What Spark raises inside leaves as an error of ours, with the user's own frames and without those of Java.

    Args:
        place: the task.
    """
    try:
        yield
    except Exception as error:
        told = told_of(error, place)
        if told is None:
            raise
        # The cause would be printed with it, and it is what nobody is to read. The user's frames are kept.
        raise told.with_traceback(_own_frames(error.__traceback__)) from None


def told_of(error: BaseException, place: str) -> FlytePathError | None:
    """The error in our words; ``None`` where it is not Spark's."""
    if type(error).__name__ in ("PicklingError", "PySparkPicklingError") and "serialize" in str(error):
        return SparkJobError(
            shortened(str(error)),
            place=place,
            hint="what an executor calls must not hold the session, a context, an open file or a lock",
        )
    names = {base.__name__ for base in type(error).__mro__ if base.__module__.startswith(("pyspark.", "py4j."))}
    if not names & {"PySparkException", "Py4JError", "Py4JNetworkError", "SparkConnectException"}:
        # The connection to the driver's Java ended, or the one to the Connect server did.
        if isinstance(error, ConnectionError) and _comes_from_py4j(error):
            return _gone(place, str(error))
        return None
    text = _text(error)
    if "PythonException" in names:
        return _raised_by_the_user(text, place)
    if "Py4JNetworkError" in names or _AWAY.search(text):
        return _gone(place, shortened(text))
    if _OUT_OF_MEMORY.search(text) and _LOST.search(text):
        return SparkJobError(
            "executors ran out of memory",
            place=place,
            actual=shortened(text),
            hint="raise spark.executor.memory or spark.executor.memoryOverhead, or use more partitions",
        )
    if _LOST.search(text):
        return SparkLostError("Spark has lost executors", place=place, actual=shortened(text))
    return SparkJobError(
        f"{_class(error)}: {shortened(_without_state(text))}", place=place, actual=_condition(error) or None
    )


def shortened(text: str) -> str:
    """The message without stacks and plans.

    Example:
        >>> shortened("[DIVIDE_BY_ZERO] Division by zero.\\n\\tat org.apache.Spark.f(A.java:1)\\n\\tat b.C(D.java:2)")
        '[DIVIDE_BY_ZERO] Division by zero.'
    """
    found = _INTERNAL.search(text)
    text = (text[: found.start()] if found else text).strip()
    return text if len(text) <= _MESSAGE_LIMIT else f"{text[:_MESSAGE_LIMIT]} ..."


def _text(error: BaseException) -> str:
    java = getattr(error, "java_exception", None)
    if java is not None:
        try:
            # The first line of a Py4JJavaError only says which call it was.
            return _java_text(java)
        except Exception:  # noqa: BLE001 - the Java side may be gone, and then this is all there is
            return str(error)
    return str(error)


def _java_text(java: object) -> str:
    """The text of a Java exception and of its causes, each once."""
    said: list[str] = []
    seen = 0
    while java is not None and seen < 5:
        text = str(java.toString())  # type: ignore[attr-defined]
        if not any(text in other for other in said):
            said.append(text)
        java, seen = java.getCause(), seen + 1  # type: ignore[attr-defined]
    return "\n  because: ".join(said)


def _raised_by_the_user(text: str, place: str) -> SparkJobError:
    """What a function on an executor raised: its own last frames and message."""
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("at org.", "at java."))
    ]
    lines = [line for line in lines if not line.startswith((" SQLSTATE", "JVM stacktrace"))]
    frames: list[str] = []
    own = True
    for line in lines:
        if line.startswith("  File "):
            own = "pyspark.zip" not in line and "/pyspark/" not in line
        if own or not line.startswith(" "):
            frames.append(line)
    last = next((line for line in reversed(frames) if line and not line.startswith((" ", "Traceback"))), "it failed")
    return SparkJobError(
        f"a function on an executor raised {last}", place=place, actual="\n    ".join(frames)[-_MESSAGE_LIMIT:]
    )


def _gone(place: str, text: str) -> SparkUnavailableError:
    return SparkUnavailableError(
        "the connection to Spark is lost",
        place=place,
        actual=text or "the other side closed it",
        hint="if it happens again: look into the log of the master, the Connect server or the driver",
    )


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """The frames without those of Spark's own client and of ours."""
    kept = []
    while trace is not None:
        if not _FOREIGN.search(trace.tb_frame.f_code.co_filename):
            kept.append(trace)
        trace = trace.tb_next
    own: TracebackType | None = None
    for item in reversed(kept):
        own = TracebackType(own, item.tb_frame, item.tb_lasti, item.tb_lineno)
    return own


def _comes_from_py4j(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if "py4j" in trace.tb_frame.f_code.co_filename:
            return True
        trace = trace.tb_next
    return False


def _class(error: BaseException) -> str:
    java = getattr(error, "java_exception", None)
    if java is not None:
        return "a Java exception"
    return type(error).__name__


def _without_state(text: str) -> str:
    return re.sub(r"\s*SQLSTATE: \w{5}", "", text)


def _condition(error: BaseException) -> str:
    """Spark's own name of what is wrong, and the SQLSTATE."""
    found = []
    for method, label in (("getCondition", "error condition"), ("getSqlState", "SQLSTATE")):
        ask = getattr(error, method, None)
        try:
            said = ask() if ask is not None else None
        except Exception:  # noqa: BLE001 - asked of a Java side that may be gone
            said = None
        if said:
            found.append(f"{label} {said}")
    return ", ".join(found)
