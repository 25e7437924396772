"""Reading manifests in a process of their own, because a manifest may hang, end the interpreter or import the world.

Run as ``python -m flytepath.plugin.collect`` it is the child: it gets a list of plugins on stdin and writes one JSON
line before and one after each to the stdout it was given; what plugins print goes nowhere. :func:`collect` is the
parent: it gives each plugin its deadline, ends a child that misses it, and starts another for the rest.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Final

Json = Any
#: What a fresh interpreter may take to come up, on a machine that is busy with something else.
_START_SECONDS: Final = 60.0
_TRACEBACK_LINES: Final = 12
_MODULE_LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class Collected:
    """What reading one manifest brought.

    Args:
        declarations: by hook, as plain data without defaults; kept for a failed plugin as far as it got.
        failure: ``""``, ``"quarantined"`` or ``"incompatible"``.
        cause, hint: why it failed and what to do.
        detail: the end of the traceback.
        seconds: what importing the manifest took.
        imported: modules it imported that are neither flytepath's nor its own.
        contract_minor: the smallest contract minor version that its declarations need.
        files: the plugin's own source files that were read.
    """

    declarations: Mapping[str, list[Json]]
    failure: str = ""
    cause: str = ""
    hint: str = ""
    detail: str = ""
    seconds: float = 0.0
    imported: tuple[str, ...] = ()
    contract_minor: int = 0
    files: tuple[str, ...] = ()


def collect(plugins: Sequence[tuple[str, str]], deadline: float) -> dict[str, Collected]:
    """Read the manifests of ``plugins``, (name, module) pairs with different names.

    Args:
        plugins: what to read; policy has let all of them through.
        deadline: seconds each may take.
    """
    results: dict[str, Collected] = {}
    while remaining := [item for item in plugins if item[0] not in results]:
        _run_child(remaining, deadline, results)
    return results


def _run_child(plugins: Sequence[tuple[str, str]], deadline: float, results: dict[str, Collected]) -> None:
    """Let one child read as many as it can. Adds at least one result."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}  # noqa: PTH109
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "flytepath.plugin.collect"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    streams = (process.stdin, process.stdout, process.stderr)
    try:
        current = _follow(process, plugins, deadline, results)
        if current is None:
            return
        name, cause, hint = current
        results[name] = Collected({}, "quarantined", cause, hint)
    finally:
        _end(process)
        for stream in streams:
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def _follow(
    process: subprocess.Popen[bytes],
    plugins: Sequence[tuple[str, str]],
    deadline: float,
    results: dict[str, Collected],
) -> tuple[str, str, str] | None:
    """Read the child's lines. ``None`` when it came to its end, else (plugin, cause, hint) of where it stopped."""
    request = {"path": [path or os.getcwd() for path in sys.path], "plugins": list(plugins)}  # noqa: PTH109
    with suppress(BrokenPipeError):
        _pipe(process.stdin).write(json.dumps(request).encode())
        _pipe(process.stdin).close()
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_pump, args=(_pipe(process.stdout), lines), daemon=True).start()
    current: str | None = None
    expected = {name for name, _ in plugins}
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            line = lines.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            if current is None:
                return plugins[0][0], f"the collecting process did not start within {_START_SECONDS:g} s", ""
            return (
                current,
                f"import did not finish within {deadline:g} s",
                "a manifest must only import flytepath.plugin; plugins.import_timeout is the limit",
            )
        if line is None:
            return _ended(process, current, plugins, results)
        message = _read_line(line)
        name = message.get("begin") or message.get("end")
        if name not in expected:
            continue
        if "begin" in message:
            current, until = name, time.monotonic() + deadline
            continue
        results[name] = _collected(message)
        current, until = None, time.monotonic() + _START_SECONDS
        if expected <= set(results):
            return None


def _ended(
    process: subprocess.Popen[bytes],
    current: str | None,
    plugins: Sequence[tuple[str, str]],
    results: Mapping[str, Collected],
) -> tuple[str, str, str] | None:
    status = process.wait()
    left = [name for name, _ in plugins if name not in results]
    if not left:
        return None
    hint = "`python -X faulthandler -c 'import <its manifest>'` shows where"
    how = f"the interpreter died with signal {-status}" if status < 0 else f"the interpreter ended with status {status}"
    if current is not None:
        return current, f"{how} while its manifest was read", hint
    said = _pipe(process.stderr).read().decode(errors="replace").strip().splitlines()[-1:]
    return left[0], f"{how} before its manifest was read: {''.join(said)}", ""


def _collected(message: Mapping[str, Json]) -> Collected:
    return Collected(
        declarations=message["declarations"],
        failure=message["failure"],
        cause=message["cause"],
        hint=message["hint"],
        detail=message["detail"],
        seconds=message["seconds"],
        imported=tuple(message["imported"]),
        contract_minor=message["contract_minor"],
        files=tuple(message["files"]),
    )


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("the collecting process was started without its pipes")
    return stream


def _pump(stream: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    with suppress(ValueError, OSError):  # closed under us when the child is given up
        for line in stream:
            lines.put(line)
    lines.put(None)


def _read_line(line: bytes) -> dict[str, Json]:
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child and what it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    process.wait()


# --- the child ---------------------------------------------------------------------------------------------------


def read_manifest(name: str, value: str) -> Iterator[dict[str, Json]]:
    """Read one manifest in this process; yields the message for the parent."""
    from flytepath.plugin.discovery import load_manifest
    from flytepath.plugin.manifest import Refusal, declarations_of

    package = value.partition(":")[0].partition(".")[0]
    message: dict[str, Json] = {"end": name, "declarations": {}, "contract_minor": 0, "seconds": 0.0}
    message |= {"failure": "", "cause": "", "hint": "", "detail": ""}
    known = set(sys.modules)
    started = time.perf_counter()
    try:
        try:
            manifest = load_manifest(name, value)
        finally:
            message["seconds"] = time.perf_counter() - started
            new = [module for module in list(sys.modules) if module not in known]
            message["imported"] = [item for item in new if item.partition(".")[0] not in ("flytepath", package)]
        declarations_of(manifest, message)
    except Refusal as refusal:
        message |= {"failure": refusal.failure, "cause": refusal.cause, "hint": refusal.hint, "detail": refusal.detail}
    except BaseException as error:  # noqa: BLE001 - SystemExit and friends are a plugin's failure, not ours
        message |= {"failure": "quarantined", **describe(error, package)}
    message["imported"] = message["imported"][:_MODULE_LIMIT]
    message["files"] = _own_files(package)
    yield message


def describe(error: BaseException, package: str) -> dict[str, str]:
    """Cause, hint and the end of the traceback of what a plugin raised."""
    text = str(error).strip().splitlines()
    cause = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    hint = "its manifest must import without an error; ask its authors, or disable it"
    if isinstance(error, ModuleNotFoundError) and error.name:
        cause = f"it needs the library {error.name!r}, which is not installed"
        hint = f"install what provides {error.name!r}"
        if error.name.partition(".")[0] == package:
            cause = f"its manifest module {error.name!r} does not exist"
            hint = "install the distribution again; its entry point points nowhere"
    lines = traceback.format_exception(error)
    return {"cause": cause, "hint": hint, "detail": "".join(lines[-_TRACEBACK_LINES:])[-4000:]}


def _own_files(package: str) -> list[str]:
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == package]
    files = [getattr(module, "__file__", None) for module in modules]
    return sorted({file for file in files if isinstance(file, str)})[:_MODULE_LIMIT]


def main() -> None:
    """Read every manifest that stdin names."""
    channel = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    request = json.load(sys.stdin)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    sys.path[:] = request["path"]
    # What the contract itself costs is paid here and not charged to the first plugin.
    from flytepath.plugin import discovery, hookspecs, manifest  # noqa: F401

    def send(message: Mapping[str, Json]) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        while data:
            data = data[os.write(channel, data) :]

    for name, value in request["plugins"]:
        send({"begin": name})
        for message in read_manifest(name, value):
            send(message)
    os._exit(0)  # a plugin may have left a thread running, and nothing is lost by not waiting for it


if __name__ == "__main__":
    main()
