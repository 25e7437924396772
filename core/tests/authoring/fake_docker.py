#!/usr/bin/env python3
"""A stand-in for the docker command: it takes what docker takes, refuses what docker refuses, and runs the command.

What a container has of its own is imitated as far as tests need it: mounted folders are put in the place of their
paths in the command, the environment holds only what was passed, and the container is no child of the command, so that
it goes on when the command is killed. ``FAKE_DOCKER`` names the folder with its state.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

STATE = Path(os.environ.get("FAKE_DOCKER", "."))
IMAGE = re.compile(r"[a-z0-9]+([._/:-]+[a-zA-Z0-9]+)*(@sha256:[0-9a-f]{64})?")


def refuse(message: str, status: int = 125) -> NoReturn:
    sys.stderr.write(f"docker: {message}\n")
    sys.exit(status)


def read_options(words: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    options: dict[str, list[str]] = {}
    while words and words[0].startswith("-"):
        flag = words.pop(0)
        if flag == "--rm":
            continue
        if flag not in ("--name", "-v", "-e", "--entrypoint", "--memory", "--cpus", "--gpus"):
            refuse(f"unknown flag: {flag}")
        options.setdefault(flag, []).append(words.pop(0))
    return options, words


def run(words: list[str]) -> int:
    options, words = read_options(words)
    if not words or not IMAGE.fullmatch(words[0]):
        refuse(f"invalid reference format: {words[:1]}")
    image, command = words[0], options.get("--entrypoint", []) + words[1:]
    if image.startswith("absent"):
        refuse(f"Error response from daemon: pull access denied for {image}")
    name = options["--name"][0]
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", name) or (STATE / name).exists():
        refuse(f"the container name {name} is invalid or in use")
    (STATE / "options").write_text(repr(options))
    for volume in options.get("-v", []):
        host, inside = volume.split(":")
        if not host.startswith("/") or not inside.startswith("/") or not Path(host).is_dir():
            refuse(f"invalid volume specification: {volume}")
        command = [word.replace(inside, host) for word in command]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root"}
    for variable in options.get("-e", []):
        key, given, value = variable.partition("=")
        environment[key] = value if given else os.environ[key]
    try:
        container = subprocess.Popen(command, env=environment, cwd="/", start_new_session=True)
    except OSError as error:
        refuse(f"exec: {error}", 127)
    (STATE / name).write_text(str(container.pid))
    status = container.wait()
    (STATE / name).unlink(missing_ok=True)
    return 128 - status if status < 0 else status


def remove(name: str) -> int:
    try:
        os.killpg(int((STATE / name).read_text()), signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return 1
    (STATE / name).unlink(missing_ok=True)
    (STATE / "removed").write_text(name)
    return 0


if __name__ == "__main__":
    if (STATE / "slow").exists():
        time.sleep(float((STATE / "slow").read_text()))
    if sys.argv[1] == "run":
        sys.exit(run(sys.argv[2:]))
    if sys.argv[1:3] == ["rm", "-f"]:
        sys.exit(remove(sys.argv[3]))
    refuse(f"unknown command: {sys.argv[1:]}")
