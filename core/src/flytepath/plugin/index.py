"""The plugin index: what all enabled manifests declare, as JSON in the home folder, so that commands import none.

An index belongs to one interpreter, one set of installed distributions and one policy. Whether it still holds is asked
at every start, so the check is a few directory listings and stats: no metadata is parsed, no TOML, no model. What is
compared is compared in full; checksums only name files and find damage.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from flytepath import __version__, config
from flytepath.plugin.contract import CONTRACT_MAJOR, CONTRACT_MINOR
from flytepath.plugin.policy import Policy

Json = Any

#: Grows when the index's form changes; others are built anew.
FORMAT: Final = 1
#: Indexes that are kept, newest first: one for each interpreter, environment and policy in use.
_KEPT: Final = 32
_INSTALLED: Final = (".dist-info", ".egg-info", ".egg", ".egg-link")


def environment_listing() -> list[list[Json]]:
    """What is installed along ``sys.path``: ``[folder, name, mtime_ns]`` of each distribution's metadata.

    Folders without any distribution are left out, so that neither a script's own folder nor a workflow's bundle makes
    another environment.
    """
    listing: list[list[Json]] = []
    for entry in dict.fromkeys(sys.path):
        folder = entry or os.curdir
        try:
            with os.scandir(folder) as items:
                found = [
                    (item.name, item.stat(follow_symlinks=False).st_mtime_ns)
                    for item in items
                    if item.name.endswith(_INSTALLED)
                ]
        except NotADirectoryError:
            listing += [[folder, "", stamp[1]] for stamp in [_stamp(folder)] if stamp[1] is not None]
            continue
        except OSError:
            continue
        where = os.path.abspath(folder)  # noqa: PTH100
        listing += [[where, name, mtime] for name, mtime in sorted(found)]
    return listing


def identity(listing: list[list[Json]], policy: Policy | None, home: Path) -> str:
    """Whose index it is, as one line of text: interpreter, environment, contract and policy.

    Args:
        listing: of the environment; only its folders count here, so an upgrade replaces the index of before.
        policy: a policy made in the program; ``None`` stands for the configuration files as they lie there.
        home: the home folder, whose file is part of the policy.
    """
    if policy is not None:
        said: Json = policy.to_json()
    else:
        files = [[str(item.path), item.content.decode("latin-1")] for item in config.candidate_files(None, home)]
        said = [files, config.setting_variables()]
    return json.dumps(
        {
            "format": FORMAT,
            "interpreter": interpreter(),
            "path": list(dict.fromkeys(folder for folder, _, _ in listing)),
            "contract": [CONTRACT_MAJOR, CONTRACT_MINOR],
            "flytepath": __version__,
            "policy": said,
        }
    )


def interpreter() -> list[str]:
    """What tells one Python installation or virtual environment from another."""
    return [sys.executable, sys.prefix, sys.version]


def stamps(files: list[str]) -> list[list[Json]]:
    """``[path, mtime_ns, size]`` of each file; nulls where there is none."""
    return [_stamp(file) for file in files]


def _stamp(file: str) -> list[Json]:
    try:
        status = os.stat(file)  # noqa: PTH116 - a Path for each of hundreds of files would cost more than the stat
    except OSError:
        return [file, None, None]
    return [file, status.st_mtime_ns, status.st_size]


def _path(home: Path, whose: str) -> Path:
    data = whose.encode()
    return home / "plugins" / f"index-{zlib.crc32(data):08x}{zlib.adler32(data):08x}.json"


def read_index(home: Path, whose: str, listing: list[list[Json]]) -> Json:
    """The index of ``whose``, or ``None`` where there is none that still holds. Damage counts as none."""
    body = _read(_path(home, whose), whose)
    if body is None or body["listing"] != listing:
        return None
    if any(_stamp(stamp[0]) != stamp for stamp in body["files"]):
        return None
    return None if _now_installed(body["missing"]) else body


def _now_installed(missing: list[str]) -> bool:
    """Whether a library that a plugin lacked is there now, from a folder that no listing shows."""
    if not missing:
        return False
    import importlib.util

    for name in missing:
        with suppress(ImportError, ValueError, AttributeError):
            if importlib.util.find_spec(name.partition(".")[0]) is not None:
                return True
    return False


def _read(path: Path, whose: str | None) -> Json:
    """A file's body if it is whole; three lines: whose, the body's checksum, the body."""
    try:
        with path.open("rb") as file:
            owner, checksum, body = file.readline(), file.readline(), file.read()
        if whose is not None and owner != whose.encode() + b"\n":
            return None
        if int(checksum, 16) != zlib.crc32(body):
            return None
        return json.loads(body)
    except (OSError, ValueError):
        return None


def write_index(home: Path, whose: str, body: Json) -> None:
    """Keep an index: all of it or nothing, whoever else writes. A home that cannot be written costs time, not work."""
    path = _path(home, whose)
    data = json.dumps(body, separators=(",", ":")).encode()
    draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(whose.encode() + f"\n{zlib.crc32(data):08x}\n".encode() + data)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        import logging

        logging.getLogger("flytepath.plugin").warning(
            "the plugin index cannot be kept in %s (%s); every command will read all plugins again", path.parent, error
        )
        return
    _remove_old(path.parent)


def _remove_old(folder: Path) -> None:
    with suppress(OSError):
        by_age = sorted(folder.glob("index-*.json"), key=lambda item: item.stat().st_mtime_ns, reverse=True)
        for item in by_age[_KEPT:]:
            item.unlink(missing_ok=True)


def earlier_indexes(home: Path) -> list[Json]:
    """Whole indexes of this interpreter, newest first, that may no longer hold: what plugins claimed at the time."""
    found: list[Json] = []
    with suppress(OSError):
        paths = sorted((home / "plugins").glob("index-*.json"), key=lambda item: item.stat().st_mtime_ns, reverse=True)
        bodies = (_read(path, None) for path in paths)
        found = [body for body in bodies if isinstance(body, dict) and body.get("interpreter") == interpreter()]
    return found
