"""Values of secrets, found in bytes whatever they were written as, and replaced by a mark; also as a program.

Run by its path, this file is the process that the output of an attempt with secrets goes through: see
:mod:`flytepath.worker.log_filter`, which starts it. So it imports nothing but the standard library, and that late.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

#: A shorter value is left alone: it stands in every text by chance.
SHORTEST: Final = 4
#: A shorter encoding of a value stands in a text by chance too.
_SHORTEST_ENCODED: Final = 6
#: So many values are looked for; of more, the latest.
LIMIT: Final = 256
#: Longer values are looked for in pieces.
PIECE: Final = 16 * 1024
#: A line of a value with several is looked for on its own where it is so long.
_SHORTEST_LINE: Final = 16
_BREAKS: Final = b"\r\n"
_CHUNK: Final = 1 << 16
#: Of the text of one value repeated without end, no more is held back.
_HELD: Final = 1 << 18
#: The kinds of messages that the program takes.
VALUE, FILE, FINISH = b"V", b"F", b"S"


class Redactor:
    """Replaces the values it is told of by ``[secret GROUP.KEY]``.

    A value is found as it is, and as text writes it in JSON, in Python, in a shell, in URLs and HTML, in UTF-16, in
    hexadecimal digits, and in base64 at any place of what was encoded; in all of these also broken over lines.

    Example:
        >>> redactor = Redactor()
        >>> redactor.add("db.password", b"swordfish")
        True
        >>> redactor.text("say swordfish, or c3dvcmRmaXNo, or sword\\nfish!")
        'say [secret db.password], or [secret db.password], or [secret db.password]\\n!'
    """

    def __init__(self) -> None:
        self._labels: dict[bytes, str] = {}
        self._forms: dict[bytes, set[bytes]] = {}
        self._needles: dict[bytes, str] = {}
        self._marks: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._needles)

    def add(self, label: str, value: bytes) -> bool:
        """Look for a value from now on; false where it is too short for that."""
        if len(value.strip()) < SHORTEST:
            return False
        label = re.sub(r"[^A-Za-z0-9._@-]", "_", label)
        if self._labels.get(value) != label:
            self._labels[value] = label
            if value not in self._forms:
                self._forms[value] = forms(value)
            while len(self._labels) > LIMIT:
                oldest = next(iter(self._labels))
                del self._labels[oldest], self._forms[oldest]
            self._needles = {form: name for known, name in self._labels.items() for form in self._forms[known]}
            self._marks = {}
        return True

    def _mark(self, label: str) -> bytes:
        """What stands for a value. It must not hold one itself, as where the password of "db.admin" is "admin"."""
        if label not in self._marks:
            marks = (f"[secret {label}]".encode(), b"[secret]", b"[***]", b"")
            self._marks[label] = next(mark for mark in marks if not any(form in mark for form in self._needles))
        return self._marks[label]

    def scrub(self, data: bytes) -> bytes:
        """``data`` with every value replaced."""
        return self.split(data, whole=True)[0]

    def text(self, text: str) -> str:
        """``text`` with every value replaced."""
        data = text.encode("utf-8", "surrogatepass")
        found = self.scrub(data)
        return text if found == data else found.decode("utf-8", "replace")

    def json(self, value: Any) -> Any:
        """Plain data with every value replaced in its texts and keys."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.json(key): self.json(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(item) for item in value]
        return value

    def split(self, data: bytes, *, whole: bool) -> tuple[bytes, bytes]:
        """What can be told of ``data``, with every value replaced, and its end that may be the beginning of a value.

        Args:
            whole: nothing follows, so that no such end is held back.
        """
        flat = data.translate(None, _BREAKS)
        hits = sorted(self._hits(flat))
        end = len(flat) if whole else self._beginning(flat)
        for start, stop, _ in reversed(hits):  # what is held back is looked at again, with every hit that touches it
            if start < end < stop and len(flat) - start < _HELD:
                end = start
        hits = [hit for hit in hits if hit[0] < end]
        if not hits and end == len(flat):
            return data, b""
        breaks = [match.start() - number for number, match in enumerate(re.finditer(rb"[\r\n]", data))]
        held = len(data) if end == len(flat) else end + bisect_right(breaks, end)
        told: list[bytes] = []
        at = 0
        for start, stop, label in _united(hits):
            first = start + bisect_right(breaks, start)
            last = stop + bisect_right(breaks, stop - 1)
            within = bytes(sign for sign in data[first:last] if sign in _BREAKS)
            told += (data[at:first], self._mark(label), within)
            at = last
        told.append(data[at:held])
        return b"".join(told), data[held:]

    def _hits(self, flat: bytes) -> Iterator[tuple[int, int, str]]:
        for needle, label in self._needles.items():
            at = flat.find(needle)
            while at >= 0:
                yield at, at + len(needle), label
                at = flat.find(needle, at + 1)

    def _beginning(self, flat: bytes) -> int:
        """Where the longest end of ``flat`` starts that a value begins with; its length where none does."""
        found = len(flat)
        for needle in self._needles:
            at = flat.find(needle[:1], max(0, len(flat) - len(needle) + 1))
            while 0 <= at < found:
                if needle.startswith(flat[at:]):
                    found = at
                    break
                at = flat.find(needle[:1], at + 1)
        return found


def _united(hits: list[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    """Hits that overlap as one, under the name of the longest."""
    pending: tuple[int, int, str] | None = None
    longest = 0
    for start, stop, label in hits:
        if pending is None or start >= pending[1]:
            if pending is not None:
                yield pending
            pending, longest = (start, stop, label), stop - start
            continue
        name = label if stop - start > longest else pending[2]
        longest = max(longest, stop - start)
        pending = (pending[0], max(pending[1], stop), name)
    if pending is not None:
        yield pending


def forms(value: bytes) -> set[bytes]:
    """What a value may look like in a text, without breaks of lines.

    Example:
        >>> {b"a&bc", b"a%26bc", b"a&amp;bc", b"61266263", b"YSZiYw"} <= forms(b"a&bc")
        True
    """
    whole = [value, value.strip()]
    if len(value) > PIECE:
        whole = [value[at : at + PIECE] for at in range(0, len(value), PIECE)]
    lines = [line.strip() for line in value.splitlines()] if b"\n" in value.strip() else []
    # The first and last line of a key say what it is.
    parts = whole + [line for line in lines if len(line) >= _SHORTEST_LINE and not line.startswith(b"-----")]
    found: set[bytes] = set()
    for part in parts:
        found |= {form.translate(None, _BREAKS) for form in _plain(part)}
        found |= {form for form in _encoded(part) if len(form) >= _SHORTEST_ENCODED}
    return {form for form in found if len(form) >= SHORTEST}


def _plain(value: bytes) -> Iterator[bytes]:
    yield value
    yield repr(value)[2:-1].encode()
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return
    import html
    import json
    import shlex
    from urllib.parse import quote, quote_plus

    written = [text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]]
    written += [json.dumps(form)[1:-1].replace("/", slash) for form in tuple(written) for slash in ("/", "\\/")]
    written += [html.escape(form, quote=quotes) for form in tuple(written) for quotes in (True, False)]
    written += [html.escape(text).replace("&#x27;", "&#39;"), shlex.quote(text).strip("'"), ascii(text)[1:-1]]
    for quoted in (quote(text, safe=""), quote(text), quote_plus(text), quote(quote(text, safe=""), safe="")):
        written += [quoted, re.sub("%[0-9A-F]{2}", lambda code: code.group().lower(), quoted)]
    yield from (form.encode("utf-8", "surrogatepass") for form in written)
    yield from (text.encode("utf-16-le"), text.encode("utf-16-be"))


def _encoded(value: bytes) -> Iterator[bytes]:
    import base64

    yield value.hex().encode()
    yield value.hex().upper().encode()
    for before, unsure in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(bytes(before) + value)
        triples, rest = divmod(before + len(value), 3)
        sure = encoded[unsure : 4 * triples + rest]
        ended = encoded[unsure:].rstrip(b"=")  # as it stands where the value is the last of what was encoded
        for form in (sure, ended):
            yield form
            yield form.replace(b"+", b"-").replace(b"/", b"_")
            yield form.replace(b"+", b"%2B").replace(b"/", b"%2F")


# --- the program ---


class _Program:
    """Reads a pipe, and writes what it reads without secrets to the file it was told of."""

    def __init__(self, pipe: int, control: socket.socket) -> None:
        self._pipe = pipe
        self._control = control
        self._redactor = Redactor()
        self._held = b""
        self._file = -1

    def run(self) -> None:
        """Until nobody can write to the pipe any more."""
        import select

        waiting = select.poll()
        waiting.register(self._pipe, select.POLLIN)
        waiting.register(self._control.fileno(), select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in waiting.poll()}
            data = os.read(self._pipe, _CHUNK) if self._pipe in ready else None
            # Whoever was told a value could not write it before it stood in the queue, so what was read waits for it.
            finishing = self._take_messages()
            if data:
                self._write(*self._redactor.split(self._held + data, whole=False))
            for token in finishing:
                self._finish()
                self._control.send(token)
            if data == b"":
                self._write(self._redactor.scrub(self._held), b"")
                return

    def _take_messages(self) -> list[bytes]:
        finishing: list[bytes] = []
        while True:
            try:
                message = self._control.recv(1 << 20)
            except (BlockingIOError, ConnectionError):
                return finishing
            if not message:
                return finishing
            kind, body = message[:1], message[1:]
            if kind == VALUE:
                label, _, value = body.partition(b"\0")
                self._redactor.add(label.decode(), value)
            elif kind == FILE:
                self._open(body)
            elif kind == FINISH:
                finishing.append(body)

    def _open(self, path: bytes) -> None:
        import fcntl

        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        with suppress(OSError):  # what cannot be kept is lost, and the task goes on
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            # Held until this process ends: so the engine knows whether more is to come from a worker that has died.
            fcntl.flock(self._file, fcntl.LOCK_SH)

    def _finish(self) -> None:
        """Write all that stands in the pipe now, and what was held back."""
        import fcntl
        import termios

        count = int.from_bytes(fcntl.ioctl(self._pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
        while count > 0 and (data := os.read(self._pipe, min(count, _CHUNK))):
            count -= len(data)
            self._write(*self._redactor.split(self._held + data, whole=False))
        self._write(self._redactor.scrub(self._held), b"")

    def _write(self, told: bytes, held: bytes) -> None:
        self._held = held
        view = memoryview(told)
        while view:
            try:
                view = view[os.write(self._file, view) :]
            except OSError:
                return  # the disk is full: what cannot be kept is lost, and the task goes on


def main() -> None:
    """The arguments: the descriptors of the pipe to read and of the socket that says what to look for."""
    if os.fork():
        os._exit(0)  # so that this process is no child of the worker, which waits for its children
    control = socket.socket(fileno=int(sys.argv[2]))
    control.setblocking(False)
    _Program(int(sys.argv[1]), control).run()


if __name__ == "__main__":
    main()
