"""Who may do what, and what a test makes go wrong: tokens, rules, admission, throttling and faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from flyte_plugin_kubernetes.testing.refusals import Refusal, forbidden

Json = dict[str, Any]
How = Literal["status", "cut_before", "cut_after", "slow"]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as access is decided on and as ``ApiServer.requests`` remembers it.

    Args:
        verb: as in rules: ``get``, ``list``, ``watch``, ``create``, ``update``, ``patch``, ``delete``,
            ``deletecollection``.
        resource: with its subresource: ``pods/log``.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""
    query: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: Any = field(default=None, hash=False)
    user: str = ""


@dataclass(frozen=True, slots=True)
class Denied:
    """What an admission function answers to refuse: an HTTP code, a reason and words of its own."""

    message: str
    code: int = 403
    reason: str = "Forbidden"


#: Looks at ``CREATE``, ``UPDATE`` or ``DELETE`` of an object; refuses by answering with a text or :class:`Denied`.
Admission = Callable[[str, Json], "str | Denied | None"]


@dataclass(slots=True)
class Fault:
    """Something that goes wrong with requests.

    Args:
        how: ``status``: answered with the code; ``cut_before``: the connection ends and nothing was done;
            ``cut_after``: it was done, and the connection ends without an answer; ``slow``: answered later.
        verb: ``None``: any.
        resource: such as ``pods`` or ``pods/log``; ``None``: any.
        times: how many requests; ``None``: all, until the server is reset.
        seconds: for ``slow``.
    """

    how: How
    verb: str | None = None
    resource: str | None = None
    times: int | None = 1
    code: int = 500
    reason: str = "InternalError"
    message: str = "an error on the server has prevented the request from succeeding"
    retry_after: int | None = None
    seconds: float = 0.0

    def refusal(self) -> Refusal:
        """The answer of ``status``."""
        return Refusal(self.code, self.reason, self.message, retry_after=self.retry_after)


class Access:
    """Decides on requests before anything is done. Who shows no token may do nothing, and one nobody has is a 401."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.admission: list[tuple[str, Admission]] = []
        self.faults: list[Fault] = []
        self._users: dict[str, tuple[str, list[Json] | None]] = {}

    def clear(self) -> None:
        """Forgets users, admission and faults."""
        with self._lock:
            self.admission.clear()
            self.faults.clear()
            self._users.clear()

    def user(self, name: str, token: str, rules: Iterable[Json] | None) -> None:
        """Adds a user.

        Args:
            rules: as in a Role (``apiGroups``, ``resources``, ``verbs``, ``resourceNames``), each with ``namespaces``
                where it holds only there; ``None``: may do everything.
        """
        with self._lock:
            self._users[token] = (name, None if rules is None else list(rules))

    def revoke(self, token: str) -> None:
        """The token is not known any more."""
        with self._lock:
            self._users.pop(token, None)

    def who(self, authorization: str) -> tuple[str, list[Json] | None]:
        """The user of a header.

        Raises:
            Refusal: 401.
        """
        token = authorization.removeprefix("Bearer ").strip()
        if not token:
            return "system:anonymous", []
        with self._lock:
            found = self._users.get(token)
        if found is None:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        return found

    @staticmethod
    def check(ask: Ask, rules: list[Json] | None) -> None:
        """Refuses what no rule allows.

        Raises:
            Refusal: 403.
        """
        if rules is None or any(_allows(rule, ask) for rule in rules):
            return
        where = f' in the namespace "{ask.namespace}"' if ask.namespace else " at the cluster scope"
        plural = ask.resource.split("/", maxsplit=1)[0]
        text = f'User "{ask.user}" cannot {ask.verb} resource "{ask.resource}" in API group "{ask.group}"{where}'
        raise forbidden(plural, ask.group, ask.name, text)

    def fault_for(self, ask: Ask) -> Fault | None:
        """The fault that meets a request, counted down."""
        with self._lock:
            for fault in self.faults:
                if fault.verb not in (None, ask.verb) or fault.resource not in (None, ask.resource):
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.faults.remove(fault)
                return fault
        return None

    def admit(self, verb: str, item: Json) -> None:
        """Asks every admission function.

        Raises:
            Refusal: the first one's.
        """
        for name, function in list(self.admission):
            answer = function(verb, item)
            if answer is None:
                continue
            denied = Denied(answer) if isinstance(answer, str) else answer
            text = denied.message
            if name:
                text = f'admission webhook "{name}" denied the request: {denied.message}'
            raise Refusal(denied.code, denied.reason, text)


def _allows(rule: Json, ask: Ask) -> bool:
    def has(name: str, value: str) -> bool:
        return any(one in ("*", value) for one in rule.get(name) or ())

    groups = rule.get("apiGroups") or [""]
    if not any(group in ("*", ask.group) for group in groups) or not has("verbs", ask.verb):
        return False
    if not has("resources", ask.resource):
        return False
    if rule.get("resourceNames") and ask.name not in rule["resourceNames"]:
        return False
    return not rule.get("namespaces") or ask.namespace in rule["namespaces"]
