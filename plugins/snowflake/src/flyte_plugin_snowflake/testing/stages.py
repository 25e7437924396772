"""What the double makes of temporary tables, and of stages that there are none of.

After the pages "Working with temporary and transient tables" (a temporary table is seen by its session alone and goes
with it; it needs no rights on the schema) and "CREATE STAGE" (which needs rights: 003001).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from flyte_plugin_snowflake.testing.account import Account, Refusal

Json = Any
_NAME: Final = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
_TEMPORARY: Final = re.compile(
    rf"^\s*create\s+(or\s+replace\s+)?(?:temporary|temp)\s+table\s+((?:{_NAME}\.){{0,2}})({_NAME})", re.IGNORECASE
)
_STAGE: Final = re.compile(
    rf"^\s*create\s+(?:or\s+replace\s+)?(?:temporary\s+|temp\s+)?stage\s+((?:{_NAME}\.)*)({_NAME})", re.I
)


class Stages:
    """Statements of sessions, as fakesnow can play them: its temporary tables take no name of a schema.

    Args:
        account: ``account.stages`` says whether stages can be made.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._temporary: dict[str, dict[str, tuple[str, str]]] = {}

    def sent(self, session: str, text: str) -> str:
        """The statement to play: temporary tables are ordinary ones, with names that no other session knows.

        Raises:
            Refusal: a stage, where the role may make none.
        """
        stage = _STAGE.match(text)
        if stage is not None and not self._account.stages:
            raise Refusal(
                "003001", "SQL access control error:\nInsufficient privileges to operate on schema 'PUBLIC'.", "42501"
            )
        own = self._temporary.setdefault(session, {})
        found = _TEMPORARY.match(text)
        if found is not None:
            place, name = found.group(2), found.group(3)
            mark = hashlib.sha256(session.encode()).hexdigest()[:8].upper()
            own[name] = (place, f'"{name.strip(chr(34))}__{mark}"')
            text = f"create {found.group(1) or ''}table {place}{name}{text[found.end() :]}"
        for name, (_, made) in own.items():
            text = made.join(re.split(rf"(?<![\w$\"]){re.escape(name)}(?![\w$\"])", text))
        return text

    def closed(self, session: str) -> list[str]:
        """What is to be done when a session ends: its temporary tables go."""
        own = self._temporary.pop(session, {})
        return [f"drop table if exists {place}{made}" for place, made in own.values()]

    def left(self) -> int:
        """How many temporary tables sessions have that did not end."""
        return sum(map(len, self._temporary.values()))
