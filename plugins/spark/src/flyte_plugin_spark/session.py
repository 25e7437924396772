"""The session of a task: looked up if one runs, else started, and stopped with the task that started it.

One driver lives in a process at a time, so what is started here is kept in one place and counted.
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flytepath.plugin import variables_set

from flyte_plugin_spark.configuration import HADOOP, MASTER, PYTHON, REMOTE, SUBMITTED, addresses_of
from flyte_plugin_spark.errors import (
    SparkSessionConflictError,
    SparkSetupError,
    SparkUnavailableError,
    spark_errors,
    told_of,
)

log = logging.getLogger(__name__)

#: By this variable the functions of pyspark know that their columns go to a Connect server.
_CONNECTED: Final = "SPARK_CONNECT_MODE_ENABLED"
#: A running Java cannot take these on any more.
_OF_JAVA: Final = (
    "spark.driver.memory",
    "spark.driver.extraJavaOptions",
    "spark.driver.defaultJavaOptions",
    "spark.driver.extraClassPath",
    "spark.driver.extraLibraryPath",
    "spark.jars.packages",
    "spark.jars.repositories",
    "spark.jars.ivy",
    "spark.jars.ivySettings",
    "spark.jars.excludes",
)
#: By this attribute a context knows what its executors import from.
_KNOWN_PATH: Final = "_flytepath_import_path"
#: So long a server may take to answer the first knock.
_KNOCK_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a task asks of its session.

    Args:
        name: the application's name.
        conf, hadoop: settings by name.
        executor_python: the interpreter of the executors, where it is not this one.
        scratch: a folder that goes away with the attempt; ``None`` where the session may outlive it.
    """

    name: str = "flytepath"
    conf: Mapping[str, str] = field(default_factory=dict)
    hadoop: Mapping[str, str] = field(default_factory=dict)
    executor_python: str = ""
    scratch: Path | None = None

    @property
    def target(self) -> str:
        """The master, or the address of a Connect server; empty where spark-submit has decided."""
        said = self.conf.get(REMOTE) or self.conf.get(MASTER)
        if said:
            return said
        if SUBMITTED in os.environ:
            return ""
        return os.environ.get("SPARK_REMOTE") or os.environ.get("MASTER") or "local[*]"

    @property
    def is_remote(self) -> bool:
        """Whether it is one of a Connect server."""
        return self.target.startswith("sc://")


@dataclass(slots=True)
class _Started:
    """A session that was started here."""

    session: Any
    stop: Callable[[], None]
    users: int = 0
    keep: bool = False


_lock = threading.RLock()
_started: _Started | None = None
#: The settings that a Java was launched with from here; it outlives its sessions.
_launched: dict[str, str] | None = None


@contextmanager
def session_for(wanted: Wanted, keep: Callable[[], bool] = lambda: False) -> Iterator[Any]:
    """The session of a task, for as long as the context lasts.

    Args:
        wanted: what the task asks for.
        keep: asked at the end, whether what the task returned still needs the session.

    Raises:
        SparkSessionConflictError: one runs that is another, and cannot become this one.
        SparkSetupError: none can be started.
        SparkUnavailableError: the master or the server does not answer.
    """
    session, started = _entered(wanted)
    try:
        yield session
    finally:
        if started is not None:
            _left(started, keep())


def _entered(wanted: Wanted) -> tuple[Any, _Started | None]:
    global _started
    with _lock:
        active = active_session()
        if active is not None:
            ours = _started if _started is not None and _started.session is active else None
            session = _fitting(active, wanted)
        else:
            started = _connected(wanted) if wanted.is_remote else _launch(wanted)
            ours, session, _started = started, started.session, started
        if ours is not None:
            ours.users += 1
        return session, ours


def _left(started: _Started, keep: bool) -> None:
    global _started
    with _lock:
        started.users -= 1
        started.keep = started.keep or keep
        if started.users or started.keep:
            return
        if _started is started:
            _started = None
    started.stop()


def stop_kept_session() -> None:
    """Stop the session that a direct call has left running for the frames it returned; nothing happens without one.

    Example:
        >>> stop_kept_session()
    """
    global _started
    with _lock:
        started = _started
        if started is None or started.users:
            return
        _started = None
    started.stop()


def session_of_frames() -> Any:
    """The session that frames are read with outside tasks of this plugin: the one that runs, or a local one.

    One that is started here stays until the process ends.
    """
    session, started = _entered(Wanted())
    if started is not None:
        _left(started, keep=True)
    return session


def new_spark_session(name: str, conf: Mapping[str, str] | None = None) -> Any:
    """The session that runs, or a new one, as a Spark task would get it; whoever calls it stops it.

    Args:
        name: the application's name.
        conf: settings by name.

    Raises:
        SparkSessionConflictError: one runs with other settings.
        SparkSetupError: none can be started.
    """
    wanted = Wanted(name=name, conf=dict(conf or {}))
    with _lock:
        active = active_session()
        if active is not None:
            return _fitting(active, wanted)
        return (_connected(wanted) if wanted.is_remote else _launch(wanted)).session


def active_session() -> Any:
    """The session that runs in this process, whoever started it; ``None`` without one. Nothing is imported for it."""
    context = sys.modules.get("pyspark.core.context") or sys.modules.get("pyspark.context")
    classic = getattr(getattr(context, "SparkContext", None), "_active_spark_context", None)
    if classic is not None and getattr(classic, "_jsc", None) is not None:
        from pyspark.sql import SparkSession

        # Asked of the class itself: which of the two kinds its own methods mean depends on the environment.
        found = SparkSession._instantiatedSession
        if found is not None and found._sc is classic:
            return found
        return SparkSession(classic)
    connect = sys.modules.get("pyspark.sql.connect.session")
    if connect is None:
        return None
    found = connect.SparkSession.getActiveSession() or connect.SparkSession._get_default_session()
    return None if found is None or found.is_stopped else found


# --- one that runs already ---------------------------------------------------------------------------------------


def _fitting(active: Any, wanted: Wanted) -> Any:
    """The active session, or a new one beside it, with the settings that are wanted."""
    remote = type(active).__module__.startswith("pyspark.sql.connect")
    said = wanted.conf.get(REMOTE) or wanted.conf.get(MASTER) or ""
    current = _address(active, remote)
    same = said == current or (remote and addresses_of(said) == addresses_of(current) != [])
    if said and not same:
        raise _conflict("the session that runs is another", f"{said}", current)
    differing = dict(_differing(active, wanted))
    if not differing:
        return active
    fixed = sorted(name for name in differing if not _is_modifiable(active, name))
    if fixed or remote:
        name = fixed[0] if fixed else min(differing)
        raise _conflict(
            f"the session that runs has another {name}",
            f"{name}={differing[name]}",
            f"{name}={active.conf.get(name, None)}",
        )
    session = active.newSession()
    for name, value in differing.items():
        session.conf.set(name, value)
    return session


def _conflict(message: str, expected: str, actual: str) -> SparkSessionConflictError:
    return SparkSessionConflictError(
        message,
        expected=expected,
        actual=actual,
        hint="stop it first (session.stop(), or flyte_plugin_spark.stop_kept_session() for one that a task left), "
        "or leave the setting out of the task",
    )


def _address(session: Any, remote: bool) -> str:
    if not remote:
        return str(session.sparkContext.master)
    builder = getattr(session.client, "_builder", None)
    return f"sc://{getattr(builder, 'endpoint', 'elsewhere')}"


def _differing(session: Any, wanted: Wanted) -> Iterator[tuple[str, str]]:
    for name, value in wanted.conf.items():
        if name in (MASTER, REMOTE):
            continue
        bare = name.removeprefix(HADOOP)
        if value not in (session.conf.get(name, None), session.conf.get(bare, None) if bare != name else None):
            yield (bare, value) if bare != name else (name, value)
    for name, value in wanted.hadoop.items():
        if value not in (session.conf.get(name, None), session.conf.get(HADOOP + name, None)):
            yield name, value
    remote = type(session).__module__.startswith("pyspark.sql.connect")
    if wanted.executor_python and not remote and not _address(session, remote).startswith("local"):
        running = session.sparkContext.pythonExec
        if running != wanted.executor_python:
            yield PYTHON, wanted.executor_python


def _is_modifiable(session: Any, name: str) -> bool:
    # What is no setting of Spark's goes to Hadoop, which takes anything at any time.
    return not name.startswith("spark.") or bool(session.conf.isModifiable(name))


# --- a driver in this process ------------------------------------------------------------------------------------


def _launch(wanted: Wanted) -> _Started:
    """A session whose driver is this process: it computes here, or has executors of a master."""
    global _launched
    if SUBMITTED not in os.environ:
        _check_java()
    target = wanted.target
    knock(target)
    conf = _launch_conf(wanted, target)
    from pyspark.core.context import SparkContext
    from pyspark.sql import SparkSession

    of_java: dict[str, str] = {name: conf[name] for name in _OF_JAVA if name in conf}
    if SparkContext._gateway is not None and SUBMITTED not in os.environ:
        _check_running_java(of_java)
    local = target.startswith("local")
    python = sys.executable if local else wanted.executor_python or conf.get(PYTHON) or os.environ.get("PYSPARK_PYTHON")
    variables = {"PYSPARK_PYTHON": python or sys.executable, "SPARK_REMOTE": None, _CONNECTED: None}
    if local:
        variables["SPARK_LOCAL_IP"] = os.environ.get("SPARK_LOCAL_IP", "127.0.0.1")
        if wanted.scratch is not None and "spark.local.dir" not in conf:
            variables["SPARK_LOCAL_DIRS"] = os.environ.get("SPARK_LOCAL_DIRS", str(wanted.scratch))
    with variables_set(variables):
        builder = SparkSession.builder
        for name, value in conf.items():
            builder = builder.config(name, value)
        with _setting_up(wanted):
            session = builder.getOrCreate()
    if local:
        setattr(session.sparkContext, _KNOWN_PATH, _import_path())
    if _launched is None:
        _launched = of_java

    def stop() -> None:
        with suppress(ConnectionError), _quietly():
            session.stop()

    return _Started(session, stop)


def imports_the_same(session: Any) -> bool:
    """Whether executors of a session import from where this process does: those of a local one that began with it."""
    if type(session).__module__.startswith("pyspark.sql.connect"):
        return False
    known = getattr(session.sparkContext, _KNOWN_PATH, ())
    return bool(known) and set(_import_path()) <= set(known)


def _import_path() -> list[str]:
    return list(dict.fromkeys(str(Path(entry).absolute()) for entry in sys.path if Path(entry).exists()))


def _launch_conf(wanted: Wanted, target: str) -> dict[str, str]:
    conf = {"spark.ui.showConsoleProgress": "false"}
    if target:
        conf |= {"spark.app.name": wanted.name, MASTER: target}
    if target.startswith("local"):
        # Nobody but this machine is to reach a driver that computes here, and its page would take a port from others.
        conf |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.ui.enabled": "false"}
        # Executors are processes of this machine: they import what this process imports.
        conf["spark.executorEnv.PYTHONPATH"] = os.pathsep.join(_import_path())
    if wanted.scratch is not None:
        conf["spark.sql.warehouse.dir"] = (wanted.scratch / "warehouse").as_uri()
    conf.update({HADOOP + name: value for name, value in wanted.hadoop.items()})
    conf.update(wanted.conf)
    return conf


def _check_running_java(of_java: Mapping[str, str]) -> None:
    known = _launched or {}
    for name, value in of_java.items():
        if known.get(name) != value:
            raise _conflict(
                f"Java runs already in this process, and only a new one could have {name}",
                f"{name}={value}",
                f"{name}={known[name]}" if name in known else f"{name} was not set when it was started",
            )


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if home:
        if os.access(Path(home, "bin", "java"), os.X_OK):
            return
        raise SparkSetupError(
            "JAVA_HOME leads to no Java", place="JAVA_HOME", expected=f"{home}/bin/java", actual="there is no such file"
        )
    if shutil.which("java") is None:
        raise SparkSetupError(
            "Spark needs Java, and there is none",
            expected="java on the PATH, or JAVA_HOME",
            actual="neither",
            hint="install a Java runtime from 17 (apt-get install openjdk-17-jre-headless), "
            f"or use a Connect server, which needs none here: {REMOTE}=sc://host:15002",
        )


@contextmanager
def _setting_up(wanted: Wanted) -> Iterator[None]:
    """What stops a session from starting is no error of a job."""
    try:
        yield
    except Exception as error:
        told = told_of(error, wanted.name)
        if isinstance(told, SparkUnavailableError):
            raise told from None
        if told is None and not isinstance(error, OSError | RuntimeError):
            raise
        message = told.message if told is not None else str(error)
        raise SparkSetupError(
            "the session cannot be started",
            place=wanted.name,
            actual=message,
            hint="what Java printed as it ended stands in the log of the attempt; Spark 4 needs Java 17 or later",
        ) from None


# --- a Connect server --------------------------------------------------------------------------------------------


def _connected(wanted: Wanted) -> _Started:
    """A session of the task's own on a Connect server."""
    try:
        importlib.import_module("grpc")
        from pyspark.sql.connect.session import SparkSession
    except ImportError as error:
        raise SparkSetupError(
            "the client of Spark Connect is not installed",
            expected="grpcio and what comes with it",
            actual=str(error),
            hint="pip install 'flyte-plugin-spark[connect]'",
        ) from error
    url = wanted.target
    knock(url)
    before = os.environ.get(_CONNECTED)
    os.environ[_CONNECTED] = "1"
    try:
        with spark_errors(wanted.name):
            session = SparkSession.builder.remote(url).create()
            _set_all(session, wanted)
    except BaseException:
        _put_back(before)
        raise

    def stop() -> None:
        try:
            with suppress(Exception), _quietly():  # a server that is gone has stopped it
                session.stop()
        finally:
            _put_back(before)

    return _Started(session, stop)


def _put_back(before: str | None) -> None:
    if before is None:
        os.environ.pop(_CONNECTED, None)
    else:
        os.environ[_CONNECTED] = before


def _set_all(session: Any, wanted: Wanted) -> None:
    for name, value in {**wanted.hadoop, **wanted.conf}.items():
        if name in (REMOTE, "spark.app.name"):
            continue
        bare = name.removeprefix(HADOOP)
        if not _is_modifiable(session, bare):
            if session.conf.get(bare, None) == value:
                continue
            raise _conflict(
                f"the server decides {name}, and no session can change it",
                f"{name}={value}",
                f"{name}={session.conf.get(bare, None)}",
            )
        session.conf.set(bare, value)


def knock(url: str) -> None:
    """Find out soon whether anybody listens at a master's or a server's address: Spark itself tries for minutes.

    Raises:
        SparkUnavailableError: nobody does.
    """
    refused: list[str] = []
    for host, port in addresses_of(url):
        try:
            socket.create_connection((host, port), _KNOCK_SECONDS).close()
        except OSError as error:
            refused.append(f"{host}:{port}: {error}")
        else:
            return
    if refused:
        what = "Connect server" if url.startswith("sc://") else "master"
        raise SparkUnavailableError(
            f"the {what} does not answer",
            place=url.partition(";")[0],
            expected=f"a {what} that listens",
            actual="; ".join(refused),
            hint="start it, or correct the address; a firewall between it and this machine has the same effect",
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """What a client says of a server that is gone, while it lets go of it, is nothing anybody can act on."""
    noisy = [logging.getLogger(name) for name in ("py4j", "pyspark.sql.connect.client")]
    before = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(noisy, before, strict=True):
            logger.setLevel(level)
