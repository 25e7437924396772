"""Real servers of Spark for tests, on free ports of this machine: a master with a worker, and a Connect server."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pyspark

SPARK_HOME = Path(pyspark.__file__).parent
_DEADLINE = 90.0
#: What the fixtures that run programs give: run one, and say what it printed.
Program = Callable[..., subprocess.CompletedProcess[str]]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    """Variables under which servers stay on this machine, with this Python on their executors."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    return kept | {
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_NO_DAEMONIZE": "1",
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": "",
    }


@contextlib.contextmanager
def running(command: list[str], folder: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server for as long as the context lasts; it is stopped by its own id."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(20)


def wait_until(check: object, what: str, log: Path) -> None:
    """Look again and again until ``check()`` is true; its errors of connection count as false."""
    deadline = time.monotonic() + _DEADLINE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if check():  # type: ignore[operator]
                return
        time.sleep(0.1)
    raise AssertionError(f"{what} is not ready:\n{log.read_text(errors='replace')[-3000:]}")


def listens(port: int) -> bool:
    """Whether somebody listens at a port of this machine."""
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


@contextlib.contextmanager
def standalone(folder: Path) -> Iterator[str]:
    """A master with one worker of two cores; its URL."""
    port, page, worker_page = free_port(), free_port(), free_port()
    launcher = str(SPARK_HOME / "bin" / "spark-class")
    master = [launcher, "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1"]
    master += ["--port", str(port), "--webui-port", str(page)]
    url = f"spark://127.0.0.1:{port}"
    worker = [
        launcher,
        "org.apache.spark.deploy.worker.Worker",
        "--host",
        "127.0.0.1",
        "--webui-port",
        str(worker_page),
    ]
    worker += ["-c", "2", "-m", "2g", "-d", str(folder / "work"), url]

    def has_worker() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{page}/json/", timeout=5) as answer:
            return int(json.load(answer)["aliveworkers"]) == 1

    with running(master, folder, "master"), running(worker, folder, "worker"):
        wait_until(has_worker, "the standalone cluster", folder / "master.log")
        yield url


@contextlib.contextmanager
def connect(folder: Path) -> Iterator[str]:
    """A Connect server that computes by itself; its address."""
    port = free_port()
    command = [str(SPARK_HOME / "bin" / "spark-submit")]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "--master", "local[2]"]
    for setting in (
        "spark.ui.enabled=false",
        "spark.connect.grpc.binding.address=127.0.0.1",
        f"spark.connect.grpc.binding.port={port}",
        "spark.driver.host=127.0.0.1",
        "spark.sql.shuffle.partitions=2",
        f"spark.sql.warehouse.dir={folder / 'warehouse'}",
    ):
        command += ["--conf", setting]
    command.append("spark-internal")
    with running(command, folder, "connect"):
        wait_until(lambda: listens(port), "the Connect server", folder / "connect.log")
        yield f"sc://127.0.0.1:{port}"
