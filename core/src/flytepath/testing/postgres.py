"""A PostgreSQL server of a test's own: private folder, private port, gone without a trace when the test is.

The server is the machine's, from ``apt install postgresql`` or any other place on the ``PATH``; what is stored is
durable as in production, so that a test may kill it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

#: How long a server may take to start or to stop.
PATIENCE_SECONDS: Final = 60.0
#: What every server of a test is told: room for the engines of a test, little memory.
_SETTINGS: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


class PostgresServer:
    """A server that runs while it is used as a context manager.

    Started by root, it runs as the system's user ``postgres``, because the server refuses to run as root.

    Raises:
        FileNotFoundError: there is no PostgreSQL on this machine.

    Example:
        >>> with PostgresServer() as server:  # doctest: +SKIP
        ...     url = server.database("flytepath")
    """

    def __init__(self) -> None:
        programs = server_programs()
        if programs is None:
            raise FileNotFoundError("no PostgreSQL server on this machine: apt install postgresql")
        self._programs = programs
        self._folder = Path()
        self._port = 0
        self._databases = 0

    @property
    def url(self) -> str:
        """Where the server is, as a URL of its database ``postgres``."""
        return self._url("postgres")

    @property
    def log(self) -> str:
        """What the server said."""
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        # A short path: that of a Unix socket has at most 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="fp-pg-", dir="/tmp"))
        self._watchman = self._watched()
        try:
            if _is_root():
                shutil.chown(self._folder, "postgres")
            self._call("initdb", "-D", str(self._data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale")
            self._port = _free_port()
            settings = {**_SETTINGS, "listen_addresses": "127.0.0.1", "unix_socket_directories": str(self._folder)}
            with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
                file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._remove()

    def database(self, name: str = "") -> str:
        """Make a new, empty database and return its URL; ``name`` is a new one by default."""
        self._databases += 1
        name = name or f"test_{self._databases}"
        self._call("createdb", "-h", str(self._folder), "-p", str(self._port), "-U", "postgres", name)
        return self._url(name)

    def start(self) -> None:
        """Start the server, on the port it had before; returns when it answers."""
        self._control("start", "-l", str(self._folder / "log"), "-o", f"-p {self._port}")

    def stop(self) -> None:
        """Stop the server: who is connected is thrown out, what was committed is kept."""
        self._control("stop", "-m", "fast")

    def kill(self) -> None:
        """Kill the server as a power cut would, and wait until all of its processes are gone."""
        leader = int((self._data / "postmaster.pid").read_text(encoding="ascii").splitlines()[0])
        members = [leader, *_children(leader)]
        # Stopped first, so that none starts another meanwhile.
        for number in (19, 9):
            for member in members:
                with suppress(ProcessLookupError):
                    os.kill(member, number)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(_is_alive(member) for member in members):
            if time.monotonic() > deadline:
                raise TimeoutError("the killed server did not end")
            time.sleep(0.01)
        # Where nobody reaps the process, these would say that it still lives.
        for left in (self._data / "postmaster.pid", self._folder / f".s.PGSQL.{self._port}.lock"):
            left.unlink(missing_ok=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def _control(self, command: str, *arguments: str) -> None:
        self._call("pg_ctl", "-D", str(self._data), "-w", "-t", f"{PATIENCE_SECONDS:.0f}", command, *arguments)

    def _call(self, program: str, *arguments: str) -> None:
        command = self._command(program, *arguments)
        # The server inherits the output, so that a pipe would stay open as long as it runs.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/")
            if done.returncode:
                output.seek(0)
                said = output.read().decode("utf-8", "replace")
                raise RuntimeError(f"{program} ended with status {done.returncode}: {said}")

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._programs / program), *arguments]
        return ["runuser", "-u", "postgres", "--", *command] if _is_root() else command

    def _watched(self) -> subprocess.Popen[bytes]:
        """A process that clears up when this one lets go of it, or is gone: a killed test leaves no server behind."""
        stop = shlex.join(self._command("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop"))
        # A server that was killed, or never started, cannot be stopped; the folder goes all the same.
        script = f"cat; cd /; {stop}; rm -rf {shlex.quote(str(self._folder))}"
        return subprocess.Popen(
            ["sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _remove(self) -> None:
        if self._watchman.stdin is not None:
            self._watchman.stdin.close()
        self._watchman.wait(PATIENCE_SECONDS)


def server_programs() -> Path | None:
    """The folder with ``initdb``, ``pg_ctl`` and the others; the newest version, ``None`` where there is none."""
    folders = [Path(found).parent] if (found := shutil.which("initdb")) else []
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    for folder in [*folders, *reversed(debian)]:
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "postgres", "createdb")):
            return folder
    return None


def missing() -> str | None:
    """Why no server can be started here; ``None`` where one can."""
    if server_programs() is None:
        return "there is no PostgreSQL server on this machine (apt install postgresql)"
    if _is_root():
        import pwd

        if shutil.which("runuser") is None or "postgres" not in {user.pw_name for user in pwd.getpwall()}:
            return "as root, a PostgreSQL server needs runuser and a user named postgres"
    return None


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in listed.read_text(encoding="ascii").split()] if listed.exists() else []


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
