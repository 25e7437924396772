"""Finding pickles in what a transformer wrote, also inside the containers that usually carry them."""

from __future__ import annotations

import base64
import binascii
import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

_PROTOCOLS = (2, 3, 4, 5)
#: Longer texts are not looked into; a pickle in base64 is known by its first bytes.
_HEAD = 64


def pickle_in(content: bytes) -> str | None:
    """What kind of pickle ``content`` is or holds; ``None`` if none.

    Example:
        >>> import pickle
        >>> pickle_in(pickle.dumps({"a": 1})), pickle_in(b"plain")
        ('a pickle of protocol 4', None)
    """
    if is_pickle_head(content) and content.endswith(b"."):
        return f"a pickle of protocol {content[1]}"
    if content.startswith(b"\x93NUMPY") and b"'|O'" in content[:256]:
        return "a numpy array of objects, which are pickled"
    if content.startswith(b"PK\x03\x04"):
        return _pickle_in_archive(content)
    return None


def _pickle_in_archive(content: bytes) -> str | None:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                if is_pickle_head(member.read(2)):
                    return f"an archive with a pickle ({name})"
    return None


def is_pickle_head(content: bytes) -> bool:
    """Whether ``content`` starts as pickles of protocol 2 and later do."""
    return len(content) >= 2 and content[0] == 0x80 and content[1] in _PROTOCOLS


def pickle_in_json(data: Any) -> str | None:
    """Whether a text inside a JSON payload is a pickle in base64."""
    for text in _texts(data):
        head = text[:_HEAD]
        try:
            decoded = base64.b64decode(head[: len(head) // 4 * 4], validate=True)
        except (binascii.Error, ValueError):
            continue
        # A frame opcode or a plain value follows the header; two bytes alone would be found by chance.
        if is_pickle_head(decoded) and len(text) >= 8 and text.startswith(("gASV", "gAWV", "gAJ", "gAN")):
            return f"a pickle in base64 ({text[:12]}...)"
    return None


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(data, list):
        for item in data:
            yield from _texts(item)
