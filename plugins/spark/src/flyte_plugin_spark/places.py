"""Where frames lie, by the names that Spark has for it: Hadoop's schemes are not always those of everybody else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

#: Schemes of object stores, and Hadoop's name for what reads them.
_HADOOP: Final = {"s3": "s3a", "s3n": "s3a", "gcs": "gs", "az": "abfs", "adl": "abfs"}
#: What Spark reads where its file system is on the class path.
REACHED: Final = (
    "file",
    "s3",
    "s3a",
    "s3n",
    "gs",
    "gcs",
    "abfs",
    "abfss",
    "wasb",
    "wasbs",
    "hdfs",
    "viewfs",
    "webhdfs",
    "oss",
    "dbfs",
)


def scheme_of(uri: str) -> str:
    """The scheme of a URI; ``file`` for a path."""
    return uri.partition(":")[0] if ":/" in uri else "file"


def is_reached_by_spark(uri: str) -> bool:
    """Whether Spark has a file system for it."""
    return scheme_of(uri) in REACHED


def spark_uri(uri: str) -> str:
    """The URI as Spark wants it.

    Example:
        >>> spark_uri("s3://bucket/a"), spark_uri("/data/a b"), spark_uri("hdfs://n/a")
        ('s3a://bucket/a', 'file:///data/a b', 'hdfs://n/a')
    """
    from urllib.parse import unquote

    scheme = scheme_of(uri)
    if scheme == "file":
        # Hadoop takes a path as it is written: %20 would be three characters of a name.
        path = unquote(uri.removeprefix("file://")) if uri.startswith("file:") else str(Path(uri).absolute())
        return f"file://{path}"
    return _HADOOP[scheme] + uri[len(scheme) :] if scheme in _HADOOP else uri


def folder_below(prefix: str, name: str) -> str:
    """A folder's URI below a prefix; a path where the prefix is one.

    Example:
        >>> folder_below("s3://b/x/", "y"), folder_below("/tmp/x", "y")
        ('s3://b/x/y', '/tmp/x/y')
    """
    return f"{prefix.rstrip('/')}/{name}"


@cache
def process_folder() -> Path:
    """A folder of this machine for what a session may ask for as long as this process runs, and no longer."""
    import atexit
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="flytepath-spark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
