"""What a Spark task's settings may say, checked where they are written: nothing of Spark is imported for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from flytepath.plugin import DefinitionError

MASTER: Final = "spark.master"
REMOTE: Final = "spark.remote"
#: How a setting of Hadoop is written among those of Spark.
HADOOP: Final = "spark.hadoop."
PYTHON: Final = "spark.pyspark.python"
#: Set where spark-submit has started the driver's Java, and this process is the program it runs.
SUBMITTED: Final = "PYSPARK_GATEWAY_PORT"
DRIVER_PYTHON: Final = "spark.pyspark.driver.python"

_MASTERS: Final = re.compile(
    r"local(\[(\d+|\*)(,\s*\d+)?\])?|local-cluster\[.+\]|spark://[^/\s]+|yarn|k8s://\S+", re.ASCII
)
_HOST_AND_PORT: Final = re.compile(r"\[[0-9a-fA-F:.]+\]:\d+|[^:\s,]+:\d+")
#: What a Connect server has decided before anybody connects; a client that asks for it would be ignored.
_OF_THE_SERVER: Final = (
    "spark.archives",
    "spark.driver.",
    "spark.dynamicAllocation.",
    "spark.executor.",
    "spark.executorEnv.",
    "spark.files",
    "spark.jars",
    "spark.kubernetes.",
    "spark.local.dir",
    "spark.pyspark.",
    "spark.submit.",
    "spark.task.",
    "spark.ui.",
)


def read_conf(conf: Any, place: str) -> dict[str, str]:
    """``conf`` as text by text.

    Raises:
        DefinitionError: it is no mapping, or something in it is no text.
    """
    if conf is None:
        return {}
    if not isinstance(conf, Mapping):
        raise DefinitionError(
            "settings are texts by name",
            place=place,
            expected='{"spark.executor.instances": "2"}',
            actual=repr(conf)[:200],
        )
    for name, value in conf.items():
        if not isinstance(name, str) or not name or name != name.strip() or any(c.isspace() or c == "=" for c in name):
            raise DefinitionError(
                "a setting has a name without blanks", place=place, expected="spark.executor.memory", actual=repr(name)
            )
        if not isinstance(value, str):
            raise DefinitionError(
                f"the setting {name} is no text",
                place=f"{place}[{name!r}]",
                expected="a text, as Spark reads it",
                actual=repr(value)[:200],
                hint=f"write {_as_text(value)!r}" if isinstance(value, bool | int | float) else "write it as a text",
            )
    return dict(conf)


def check_spark_conf(conf: Mapping[str, str], hadoop: Mapping[str, str], place: str) -> None:
    """Refuse settings that can never take effect, or say two things.

    Raises:
        DefinitionError: with the setting it is about.
    """
    for name in conf:
        if not name.startswith("spark."):
            raise DefinitionError(
                f"{name} is no setting of Spark, which would leave it out",
                place=f"{place}(spark_conf[{name!r}])",
                expected="a name that begins with 'spark.'",
                actual=name,
                hint="settings of Hadoop, such as fs.s3a.endpoint, stand in hadoop_conf",
            )
        twin = name.removeprefix(HADOOP)
        if name.startswith(HADOOP) and hadoop.get(twin, conf[name]) != conf[name]:
            raise DefinitionError(
                f"{twin} is set twice",
                place=f"{place}(spark_conf[{name!r}])",
                expected="one value",
                actual=f"{conf[name]!r} here, {hadoop[twin]!r} in hadoop_conf",
            )
    for name in hadoop:
        if name.startswith("spark."):
            raise DefinitionError(
                f"{name} is a setting of Spark",
                place=f"{place}(hadoop_conf[{name!r}])",
                expected="a name of Hadoop's, such as fs.s3a.endpoint",
                actual=name,
                hint="it belongs into spark_conf",
            )
    _check_mode(conf, place)
    if REMOTE in conf:
        _check_remote(conf, place)
    elif MASTER in conf:
        _check_master(conf[MASTER], place)


def _check_mode(conf: Mapping[str, str], place: str) -> None:
    if conf.get("spark.submit.deployMode", "client") != "client":
        raise DefinitionError(
            "the task's own process is the driver",
            place=f"{place}(spark_conf['spark.submit.deployMode'])",
            expected="client, or nothing",
            actual=conf["spark.submit.deployMode"],
            hint="on Kubernetes the backend 'spark-operator' starts the driver in a pod of its own",
        )


def _check_remote(conf: Mapping[str, str], place: str) -> None:
    remote = conf[REMOTE]
    if MASTER in conf:
        raise DefinitionError(
            "a session has a master, or is one of a Connect server",
            place=f"{place}(spark_conf)",
            expected=f"{MASTER} or {REMOTE}",
            actual=f"{MASTER}={conf[MASTER]} and {REMOTE}={remote}",
        )
    if not remote.startswith("sc://") or not remote.removeprefix("sc://").split("/")[0]:
        raise DefinitionError(
            "this is no address of a Connect server",
            place=f"{place}(spark_conf['{REMOTE}'])",
            expected="sc://host:15002",
            actual=remote,
        )
    for name in conf:
        if name.startswith(_OF_THE_SERVER):
            raise DefinitionError(
                f"{name} is decided when a Connect server starts, not when somebody connects",
                place=f"{place}(spark_conf[{name!r}])",
                expected="settings of a session, such as spark.sql.shuffle.partitions",
                actual=name,
                hint=f"set it where the server is started, or name a {MASTER} in place of {REMOTE}",
            )


def _check_master(master: str, place: str) -> None:
    if master.startswith("sc://"):
        raise DefinitionError(
            "the address of a Connect server is no master",
            place=f"{place}(spark_conf['{MASTER}'])",
            actual=master,
            hint=f"name it as {REMOTE}",
        )
    addresses = master.removeprefix("spark://").split(",") if master.startswith("spark://") else []
    if not _MASTERS.fullmatch(master) or not all(_HOST_AND_PORT.fullmatch(address) for address in addresses):
        raise DefinitionError(
            "Spark knows no such master",
            place=f"{place}(spark_conf['{MASTER}'])",
            expected="local[4], local[*], spark://host:7077, yarn, k8s://https://host:443",
            actual=master,
        )


def addresses_of(url: str) -> list[tuple[str, int]]:
    """The hosts and ports that a standalone master or a Connect server is reached at.

    Example:
        >>> addresses_of("spark://a:7077,b:7077"), addresses_of("sc://c;token=x"), addresses_of("local[2]")
        ([('a', 7077), ('b', 7077)], [('c', 15002)], [])
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("spark", "sc"):
        return []
    found = []
    for address in re.split(r"[/;]", rest)[0].split(","):
        host, colon, port = address.rpartition(":")
        if colon and port.isdigit():
            found.append((host.strip("[]"), int(port)))
        elif scheme == "sc":
            found.append((address.strip("[]"), 15002))
    return found


def _as_text(value: bool | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
