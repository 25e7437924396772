"""What the fake vendor answers: requests in, replies out, without a socket in sight."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from flytepath.testing.fake_vendor.accounts import Account
from flytepath.testing.fake_vendor.faults import Fault, FaultKind, Faults
from flytepath.testing.fake_vendor.jobs import Clock, Job

Json = Any
#: Jobs on a page of a search, and lines in a piece of a log.
PAGE: Final = 100
#: The most ids in one look.
IDS: Final = 200
#: The most requests that the journal keeps; of more, the oldest are dropped.
JOURNAL: Final = 200_000

_KINDS: Final[Mapping[tuple[str, str, bool], str]] = {
    ("POST", "", False): "submit",
    ("GET", "", False): "list",
    ("GET", "", True): "get",
    ("POST", "cancel", True): "cancel",
    ("GET", "result", True): "result",
    ("GET", "logs", True): "logs",
    ("DELETE", "files", True): "clean",
    ("DELETE", "", True): "delete",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came."""

    method: str
    target: str
    token: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is done about a request: an answer, or a cut connection, or silence; after ``delay`` real seconds."""

    status: int = 200
    body: Json = None
    retry_after: float | None = None
    raw: bytes | None = None
    is_cut: bool = False
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One request in the journal; ``status`` 0 is one that got no answer."""

    call: str
    method: str
    target: str
    account: str
    job: str
    at: float
    status: int


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: float | None = None, **more: Json) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after
        self.body = {"code": code, "message": message, **more}


@dataclass(slots=True)
class Asked:
    """A request, taken apart."""

    call: str
    request: Request
    account: str
    id: str
    query: dict[str, str]
    body: Mapping[str, Json]
    name: str = ""
    faults: list[Fault] = field(default_factory=list)

    def fault(self, *kinds: FaultKind) -> Fault | None:
        """The first fault of these kinds that befalls it."""
        return next((fault for fault in self.faults if fault.kind in kinds), None)


class Service:
    """The vendor's mind: accounts, jobs, faults, and the journal. Every method may be called from any thread."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self.clock = clock
        self.faults = faults
        self.accounts: dict[str, Account] = {}
        self.journal: deque[Entry] = deque(maxlen=JOURNAL)
        self.violations: list[str] = []
        self.lock = threading.RLock()
        self._ids = itertools.count(1)

    # --- one request ---

    def ask(self, request: Request) -> Asked:
        """Take a request apart, and see what befalls it."""
        parts = urlsplit(request.target)
        steps = [unquote(step) for step in parts.path.strip("/").split("/")]
        steps += [""] * (5 - len(steps))
        root, account, jobs, id, rest = steps[:5]
        call = _KINDS.get((request.method, rest, bool(id)), "") if (root, jobs) == ("accounts", "jobs") else ""
        try:
            body = json.loads(request.body) if request.body else {}
        except ValueError:
            body = {}
        asked = Asked(call, request, account, id, dict(parse_qsl(parts.query)), body if isinstance(body, dict) else {})
        with self.lock:
            known = self.accounts.get(account)
            job = known.jobs.get(id) if known and id else None
            asked.name = job.name if job else str(asked.body.get("name", ""))
            asked.faults = self.faults.take(call, account, asked.name)
        return asked

    def answer(self, asked: Asked) -> Reply:
        """Do what is asked for, and what goes wrong with it."""
        with self.lock:
            now = self.clock.now()
            reply = self._answered(asked, now)
            status = 0 if reply.is_cut or reply.is_silent else reply.status
            request = asked.request
            job = asked.id or (str(reply.body.get("id", "")) if isinstance(reply.body, dict) else "")
            entry = Entry(asked.call, request.method, request.target, asked.account, job, now, status)
            self.journal.append(entry)
            return reply

    def _answered(self, asked: Asked, now: float) -> Reply:
        account = self.accounts.get(asked.account)
        if account is not None:
            account.calls[asked.call] += 1
        if asked.fault(FaultKind.RESET_BEFORE):
            return Reply(is_cut=True)
        try:
            if account is None:
                raise Refusal(404, "NoSuchAccount", f"there is no account {asked.account!r}")
            for each in self.accounts.values():
                each.settle(now)
            self._let_in(asked, account, now)
            try:
                status, body = self._done(asked, account, now)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise Refusal(400, "BadRequest", f"the request is wrong: {error}") from error
            account.settle(now)
        except Refusal as refusal:
            if account is not None:
                account.refused[refusal.code] += 1
            return Reply(refusal.status, refusal.body, refusal.retry_after)
        if asked.fault(FaultKind.RESET_AFTER):
            return Reply(status, body, is_cut=True)
        if asked.fault(FaultKind.SILENT_AFTER):
            return Reply(status, body, is_silent=True)
        if asked.fault(FaultKind.ERROR_AFTER):
            return Reply(500, {"code": "InternalError", "message": "something went wrong"})
        if asked.fault(FaultKind.GARBAGE):
            return Reply(200, raw=b"<html>the gateway is having a bad day</html>")
        return Reply(status, body)

    def _let_in(self, asked: Asked, account: Account, now: float) -> None:
        if fault := asked.fault(FaultKind.UNAVAILABLE):
            raise Refusal(503, "Unavailable", "the service is not available", retry_after=fault.seconds or None)
        if asked.fault(FaultKind.ERROR_BEFORE):
            raise Refusal(500, "InternalError", "something went wrong")
        if asked.request.token != account.token:
            raise Refusal(401, "BadToken", "the token is not one of this account")
        if account.is_token_expired:
            raise Refusal(401, "TokenExpired", "the token has expired")
        if fault := asked.fault(FaultKind.THROTTLED):
            raise Refusal(429, "Throttled", "too many calls", retry_after=fault.seconds or None)
        if wait := account.wait_for(asked.call, now):
            raise Refusal(429, "Throttled", "too many calls", retry_after=wait)
        if asked.fault(FaultKind.REFUSED):
            raise Refusal(400, "BadRequest", "the request is wrong")

    # --- the calls ---

    def _done(self, asked: Asked, account: Account, now: float) -> tuple[int, Json]:
        if asked.call == "submit":
            return self._submit(asked, account, now)
        if asked.call == "list":
            return 200, self._list(asked.query, account, now)
        if not asked.call:
            raise Refusal(404, "NoSuchCall", f"there is no {asked.request.method} {asked.request.target}")
        job = self._job(account, asked.id)
        if asked.call == "cancel":
            return 202, self._cancel(asked, account, job, now)
        if asked.call == "result":
            return 200, self._result(asked, job, now)
        if asked.call == "logs":
            return 200, self._logs(asked.query, job, now)
        if asked.call in ("delete", "clean"):
            return self._remove(asked, account, job, now)
        return 200, job.shown(now, full=True)

    def _job(self, account: Account, id: str) -> Job:
        job = account.jobs.get(id)
        if job is None:
            raise Refusal(404, "NoSuchJob", f"there is no job {id!r}")
        if job.is_poisoned:
            raise Refusal(500, "DamagedRecord", "a record cannot be read")
        return job

    def _submit(self, asked: Asked, account: Account, now: float) -> tuple[int, Json]:
        name, tags, spec = asked.name, asked.body.get("tags") or {}, asked.body.get("spec")
        if not name or len(name) > account.name_limit or not isinstance(spec, dict):
            raise Refusal(400, "BadRequest", f"a job has a spec, and a name of at most {account.name_limit} characters")
        key = str(asked.body.get("idempotency_key") or "")
        digest = hashlib.sha256(asked.request.body).hexdigest()
        if key in account.idempotency:
            id, known = account.idempotency[key]
            if known != digest:
                raise Refusal(409, "IdempotencyMismatch", "the key was used for another request", id=id)
            if id in account.jobs:
                return 200, account.jobs[id].shown(now)
        if name in account.live_names:
            raise Refusal(409, "NameTaken", f"a job named {name!r} is live", id=account.live_names[name])
        if account.live_limit is not None and len(account.live) >= account.live_limit:
            raise Refusal(429, "TooManyJobs", f"{len(account.live)} jobs are live, and no more may be")
        job = Job.of(f"j-{next(self._ids):08d}", account.name, name, dict(tags), spec, now)
        if asked.fault(FaultKind.AT_ONCE):
            job.course.ends_at = now
            for item in job.items:
                item.ends_at = now
        if fault := asked.fault(FaultKind.HIDDEN):
            job.visible_at = now + fault.seconds
        self.take_in(account, job)
        if key:
            account.idempotency[key] = (job.id, digest)
        return 201, job.shown(now)

    def take_in(self, account: Account, job: Job) -> None:
        """A new job, ours or anybody's."""
        account.add(job)
        key = job.tags.get("flytepath-key")
        if key and sum(other.live_keys[key] for other in self.accounts.values()) > 1:
            self.violations.append(f"job {job.id} of {account.name} is not the only live one of key {key}")

    def _list(self, query: Mapping[str, str], account: Account, now: float) -> Json:
        full = query.get("view") == "full"
        if "ids" in query:
            ids = [id for id in query["ids"].split(",") if id]
            if len(ids) > IDS:
                raise Refusal(400, "BadRequest", f"at most {IDS} ids in one call")
            return {"jobs": [self._job(account, id).shown(now, full=full) for id in ids if id in account.jobs]}
        pairs = {name[4:]: value for name, value in query.items() if name.startswith("tag.")}
        if "name" in query:
            pairs[""] = query["name"]
        start, limit = int(query.get("cursor") or 0), min(PAGE, int(query.get("limit") or PAGE))
        found: list[Json] = []
        cursor = start
        for place, job in account.search(pairs, start, now):
            if len(found) == limit:
                return {"jobs": found, "cursor": str(cursor)}
            cursor = place
            if "live" not in query or job.id in account.live:
                found.append(job.shown(now, full=full))
        return {"jobs": found, "cursor": None}

    def _cancel(self, asked: Asked, account: Account, job: Job, now: float) -> Json:
        if not job.is_live(now):
            raise Refusal(409, "HasEnded", f"the job is {job.state(now)}")
        if asked.fault(FaultKind.CANCEL_REFUSED):
            raise Refusal(409, "CannotCancelNow", "the job cannot be cancelled just now")
        lingering = asked.fault(FaultKind.LINGERING)
        job.forced = ""
        job.cancel(now, lingering.seconds if lingering else 0.0)
        account.changed(job)
        return job.shown(now)

    def _result(self, asked: Asked, job: Job, now: float) -> Json:
        if asked.fault(FaultKind.NO_RESULT_YET) or job.result_at > now or (not job.items and job.is_live(now)):
            raise Refusal(409, "ResultNotReady", "the result is not there yet")
        if not job.items:
            return {"outputs": job.course.result()}
        wanted = [int(p) for p in asked.query.get("positions", "").split(",") if p] or range(len(job.items))
        return {"items": {str(p): job.items[p].result() for p in wanted if 0 <= p < len(job.items)}}

    def _logs(self, query: Mapping[str, str], job: Job, now: float) -> Json:
        lines, is_complete = job.log(now)
        start = int(query.get("cursor") or 0)
        end = min(len(lines), start + PAGE)
        text = "".join(line + "\n" for line in lines[start:end])
        return {"text": text, "cursor": str(end), "complete": is_complete and end == len(lines)}

    def _remove(self, asked: Asked, account: Account, job: Job, now: float) -> tuple[int, Json]:
        if job.is_live(now):
            raise Refusal(409, "StillRuns", f"the job is {job.state(now)}")
        job.has_files = False
        if asked.call == "delete":
            account.remove(job.id)
        return 200, {}
