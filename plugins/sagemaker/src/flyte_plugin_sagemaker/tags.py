"""What marks a thing at AWS as ours: tags with the owner, the key and the digest of the content.

A tag holds at most 256 letters, digits, spaces and ``_ . : / = + - @``. What does not fit is written so that it does,
and read back whole; what is too long goes on in further tags.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flytepath.plugin import FlytePathError, JobKey, Owner, Tenant

Json = Any

PREFIX: Final = "flytepath:"
_LONGEST: Final = 256
#: As many letters of a key's digest as every name holds, however short the names of a kind are.
_TAIL: Final = 22
#: What stands for itself; letters of other alphabets do not, because AWS compares them after normalising them.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:/+\-]")
_CODE: Final = re.compile(r"=([0-9A-F]{2})")
#: Our names end so.
_NAME: Final = re.compile(rf"-[0-9a-f]{{{_TAIL},24}}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Whose a thing is, as its tags say."""

    key: JobKey
    owner: Owner
    digest: str


def tags_of(stamp: Stamp, more: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """The tags of a thing, as AWS takes them.

    Args:
        stamp: whose it is.
        more: tags of the settings and of the task.

    Example:
        >>> owner = Owner("here", Tenant("vision", "production"), "e1", "n0/train[3]")
        >>> tags = tags_of(Stamp(JobKey("sha256:1f"), owner, "9c"))
        >>> [tag["Value"] for tag in tags if tag["Key"] == "flytepath:node"]
        ['n0/train=5B3=5D']
        >>> stamp_of(tags).owner.node_path
        'n0/train[3]'
    """
    owner = stamp.owner
    facts = {
        "installation": owner.installation,
        "project": owner.tenant.project,
        "domain": owner.tenant.domain,
        "execution": owner.execution,
        "node": owner.node_path,
        "key": stamp.key.value,
        "digest": stamp.digest,
    }
    found = [{"Key": name, "Value": value} for name, value in sorted((more or {}).items())]
    for name, value in facts.items():
        for number, piece in enumerate(_pieces(_encoded(value))):
            found.append({"Key": f"{PREFIX}{name}" + (f".{number}" if number else ""), "Value": piece})
    return found


def stamp_of(tags: Iterable[Mapping[str, Json]]) -> Stamp | None:
    """The stamp in tags; ``None`` where they hold none of ours, or a part of one."""
    said = {str(tag.get("Key", "")): str(tag.get("Value", "")) for tag in tags}
    try:
        facts = {
            name: _whole(said, name)
            for name in ("installation", "project", "domain", "execution", "node", "key", "digest")
        }
        owner = Owner(
            facts["installation"], Tenant(facts["project"], facts["domain"]), facts["execution"], facts["node"]
        )
        return Stamp(JobKey(facts["key"]), owner, facts["digest"])
    except (KeyError, ValueError, FlytePathError):
        return None


def tail_of(key: JobKey) -> str:
    """What the name of everything that is made for a key contains, and nothing else does.

    Example:
        >>> tail_of(JobKey("sha256:1f")) in JobKey("sha256:1f").name("train", 32)
        True
    """
    return hashlib.sha256(key.value.encode()).hexdigest()[:_TAIL]


def may_be_ours(name: str) -> bool:
    """Whether a name looks like one that was made of a key."""
    return _NAME.search(name) is not None


def digest_of(content: Json) -> str:
    """The digest of what will be submitted."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _encoded(value: str) -> str:
    return "".join(
        char if _PLAIN.fullmatch(char) else "".join(f"={byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        for char in value
    )


def _decoded(text: str) -> str:
    parts = _CODE.split(text)
    # Plain text and codes by turns.
    raw = b"".join(part.encode() if place % 2 == 0 else bytes.fromhex(part) for place, part in enumerate(parts))
    return raw.decode("utf-8", "surrogatepass")


def _pieces(text: str) -> list[str]:
    return [text[at : at + _LONGEST] for at in range(0, len(text), _LONGEST)] or [""]


def _whole(said: Mapping[str, str], name: str) -> str:
    text, number = said[f"{PREFIX}{name}"], 1
    while (more := said.get(f"{PREFIX}{name}.{number}")) is not None:
        text, number = text + more, number + 1
    return _decoded(text)


__all__ = ["Stamp", "digest_of", "may_be_ours", "stamp_of", "tags_of", "tail_of"]
