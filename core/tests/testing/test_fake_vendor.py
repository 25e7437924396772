"""The fake vendor over its wire: jobs go as they are told to, limits hold, and it keeps count."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from flytepath.testing.fake_vendor import TOKEN, FakeVendor, VendorClient, VendorError, VendorUnreachableError

KEY = "flytepath-key"


class Customer:
    """Calls of one account."""

    opened: ClassVar[list[VendorClient]] = []

    def __init__(self, url: str, account: str = "main", token: str = TOKEN) -> None:
        self.token = token
        self.client = VendorClient(url, account, timeout=10.0)
        self.opened.append(self.client)

    def call(self, method: str, path: str = "", body: Any = None, **query: str) -> Any:
        return self.client.call(method, path, self.token, body, **query)

    def submit(self, name: str, *, tags: dict[str, str] | None = None, **spec: Any) -> str:
        return self.call("POST", "", {"name": name, "tags": tags or {}, "spec": spec})["id"]

    def state(self, id: str) -> str:
        return self.call("GET", f"/{id}")["state"]

    def refused(self, method: str, path: str = "", body: Any = None, **query: str) -> VendorError:
        with pytest.raises(VendorError) as caught:
            self.call(method, path, body, **query)
        return caught.value


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    with FakeVendor(speed=0) as vendor:
        yield vendor


@pytest.fixture
def customer(vendor: FakeVendor) -> Customer:
    return Customer(vendor.url)


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    yield
    while Customer.opened:
        Customer.opened.pop().close()


# --- jobs ---


def test_a_job_passes_its_states_and_gives_its_outputs(vendor: FakeVendor, customer: Customer) -> None:
    id = customer.submit("a", seconds=30, inputs={"x": [1]}, outputs={"rows": 3, "back": {"$input": "x"}})
    seen = [customer.state(id)]
    for _ in range(3):
        vendor.tick(10.01)
        seen.append(customer.state(id))
    assert seen == ["PENDING", "PROVISIONING", "ACTIVE", "FINISHED"]
    assert customer.call("GET", f"/{id}/result") == {"outputs": {"rows": 3, "back": [1]}}
    assert customer.call("GET", f"/{id}")["exit_code"] == 0


def test_a_job_may_pass_states_nobody_knows_and_fail_as_it_is_told(vendor: FakeVendor, customer: Customer) -> None:
    id = customer.submit("a", seconds=2, states=["DEFROSTING"], outcome="ERRORED", exit_code=7, message="no table")
    assert customer.state(id) == "DEFROSTING"
    vendor.tick(2)
    job = customer.call("GET", f"/{id}")
    assert (job["state"], job["exit_code"], job["reason"]) == ("ERRORED", 7, "no table")


@pytest.mark.parametrize(
    ("what", "state"), [("finish", "FINISHED"), ("fail", "ERRORED"), ("evict", "EVICTED"), ("lose_node", "NODE_LOST")]
)
def test_a_running_job_is_ended_from_outside(vendor: FakeVendor, customer: Customer, what: str, state: str) -> None:
    id = customer.submit("a", seconds=None)
    assert customer.state(id) == "ACTIVE"
    getattr(vendor, what)(id)
    assert (customer.state(id), vendor.live()) == (state, 0)


def test_items_of_an_array_have_their_own_ends_and_results(vendor: FakeVendor, customer: Customer) -> None:
    items = [{"seconds": 1, "outputs": {"n": 1}}, {"seconds": 1, "outcome": "ERRORED"}, {"seconds": 9}]
    id = customer.submit("a", items=items)
    vendor.tick(1)
    job = customer.call("GET", f"/{id}")
    assert job["items"] == {"FINISHED": [0], "ERRORED": [1], "PENDING": [2]}
    assert job["failed"] == {"1": {"reason": "the program ended with an error", "exit_code": 1}}
    assert (job["state"], vendor.live()) == ("PENDING", 1)
    assert customer.call("GET", f"/{id}/result", positions="0") == {"items": {"0": {"n": 1}}}
    vendor.tick(8)
    assert (customer.state(id), vendor.live()) == ("ERRORED", 0)


def test_cancelling_an_array_leaves_the_items_that_have_ended(vendor: FakeVendor, customer: Customer) -> None:
    id = customer.submit("a", items=[{"seconds": 1}, {"seconds": None}])
    vendor.tick(1)
    assert customer.call("POST", f"/{id}/cancel")["state"] == "CANCELED"
    assert customer.call("GET", f"/{id}")["items"] == {"FINISHED": [0], "CANCELED": [1]}


def test_a_job_is_cancelled_once_and_then_has_ended(vendor: FakeVendor, customer: Customer) -> None:
    id = customer.submit("a", seconds=None)
    vendor.faults.add("lingering", seconds=5)
    assert [customer.call("POST", f"/{id}/cancel")["state"] for _ in range(2)] == ["CANCELLING"] * 2
    vendor.tick(5)
    assert (customer.state(id), vendor.live()) == ("CANCELED", 0)
    assert customer.refused("POST", f"/{id}/cancel").code == "HasEnded"


def test_a_job_may_end_by_itself_while_it_is_being_cancelled(vendor: FakeVendor, customer: Customer) -> None:
    id = customer.submit("a", seconds=None)
    vendor.faults.add("lingering", seconds=60)
    customer.call("POST", f"/{id}/cancel")
    vendor.finish(id)
    assert (customer.state(id), vendor.live()) == ("FINISHED", 0)


def test_logs_grow_and_are_read_in_pieces(vendor: FakeVendor, customer: Customer) -> None:
    id = customer.submit("a", seconds=10, log=[f"line {n}" for n in range(250)])
    assert customer.call("GET", f"/{id}/logs") == {"text": "", "cursor": "0", "complete": False}
    vendor.tick(10)
    text, cursor, is_complete = "", None, False
    while not is_complete:
        piece = customer.call("GET", f"/{id}/logs", **({"cursor": cursor} if cursor else {}))
        text, cursor, is_complete = text + piece["text"], piece["cursor"], piece["complete"]
    assert text.splitlines() == [f"line {n}" for n in range(250)]


def test_only_ended_jobs_are_removed(vendor: FakeVendor, customer: Customer) -> None:
    id = customer.submit("a", seconds=1)
    assert customer.refused("DELETE", f"/{id}").code == "StillRuns"
    vendor.tick(1)
    customer.call("DELETE", f"/{id}/files")
    assert not vendor.job(id).has_files
    customer.call("DELETE", f"/{id}")
    assert customer.refused("GET", f"/{id}").code == "NoSuchJob"


# --- searching ---


def test_searches_go_by_tags_and_name_in_pages(vendor: FakeVendor, customer: Customer) -> None:
    ids = [customer.submit(f"n{n}", tags={"run": "r1", "odd": str(n % 2)}, seconds=None) for n in range(230)]
    found: list[str] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = customer.call("GET", "", cursor=cursor, **{"tag.run": "r1"})
        found, cursor = found + [job["id"] for job in page["jobs"]], page["cursor"]
    assert found == ids
    odd = customer.call("GET", "", limit="3", **{"tag.run": "r1", "tag.odd": "1"})
    assert [job["id"] for job in odd["jobs"]] == ids[1:6:2]
    assert [job["id"] for job in customer.call("GET", "", name="n7")["jobs"]] == [ids[7]]
    vendor.finish(ids[7])
    assert customer.call("GET", "", name="n7", live="1")["jobs"] == []


def test_a_page_that_is_the_last_says_so_although_it_is_full(customer: Customer) -> None:
    for n in range(100):
        customer.submit(f"n{n}", tags={"run": "r1"}, seconds=None)
    page = customer.call("GET", "", **{"tag.run": "r1"})
    assert (len(page["jobs"]), page["cursor"]) == (100, None)


def test_several_jobs_are_looked_at_at_once_and_strangers_left_out(vendor: FakeVendor, customer: Customer) -> None:
    ids = [customer.submit(f"n{n}", seconds=None) for n in range(3)]
    vendor.vanish(ids[1])
    page = customer.call("GET", "", ids=",".join([*ids, "j-none"]))
    assert [job["id"] for job in page["jobs"]] == [ids[0], ids[2]]
    assert customer.refused("GET", "", ids=",".join(["x"] * 201)).code == "BadRequest"


# --- limits ---


def test_one_job_more_than_may_live_is_refused_and_counted() -> None:
    with FakeVendor(speed=0, live_limit=2) as vendor:
        customer = Customer(vendor.url)
        first = customer.submit("a", seconds=5)
        customer.submit("b", seconds=9)
        refusal = customer.refused("POST", "", {"name": "c", "spec": {}})
        assert (refusal.status, refusal.code, vendor.refused("TooManyJobs")) == (429, "TooManyJobs", 1)
        vendor.tick(5)
        customer.submit("c", seconds=1)
        assert (customer.state(first), vendor.account().most_live) == ("FINISHED", 2)
        vendor.tick(60)
        customer.submit("d")
        assert vendor.account().most_live == 2


def test_calls_beyond_the_rate_are_told_how_long_to_wait() -> None:
    with FakeVendor(speed=0, rates={"submit": (2.0, 1)}) as vendor:
        customer = Customer(vendor.url)
        customer.submit("a")
        refusal = customer.refused("POST", "", {"name": "b", "spec": {}})
        assert (refusal.status, refusal.code, refusal.retry_after) == (429, "Throttled", 0.5)
        customer.call("GET", "", name="a")
        vendor.tick(0.5)
        customer.submit("b")


def test_live_names_are_unique_and_not_too_long(vendor: FakeVendor, customer: Customer) -> None:
    id = customer.submit("a", seconds=1)
    refusal = customer.refused("POST", "", {"name": "a", "spec": {}})
    assert (refusal.status, refusal.code, refusal.details["id"]) == (409, "NameTaken", id)
    vendor.tick(1)
    customer.submit("a")
    assert customer.refused("POST", "", {"name": "x" * 41, "spec": {}}).code == "BadRequest"


def test_an_idempotency_key_gives_the_job_it_was_used_for(vendor: FakeVendor, customer: Customer) -> None:
    body = {"name": "a", "spec": {"seconds": 1}, "idempotency_key": "k"}
    id = customer.call("POST", "", body)["id"]
    vendor.tick(1)
    assert customer.call("POST", "", body)["id"] == id
    refusal = customer.refused("POST", "", {**body, "spec": {}})
    assert (refusal.status, refusal.code) == (409, "IdempotencyMismatch")


def test_accounts_see_nothing_of_each_other(vendor: FakeVendor, customer: Customer) -> None:
    vendor.add_account("other", "other-token")
    other = Customer(vendor.url, "other", "other-token")
    id = customer.submit("a", seconds=None)
    other.submit("a", seconds=None)
    assert other.refused("GET", f"/{id}").code == "NoSuchJob"
    assert Customer(vendor.url, "main", "other-token").refused("GET", f"/{id}").code == "BadToken"
    assert (vendor.live(account="main"), vendor.live(account="other"), vendor.calls("other")["submit"]) == (1, 1, 1)


def test_an_expired_token_opens_nothing_until_it_is_renewed(vendor: FakeVendor, customer: Customer) -> None:
    id = customer.submit("a", seconds=None)
    vendor.expire_token()
    assert customer.refused("GET", f"/{id}").code == "TokenExpired"
    vendor.renew_token(token="fresh")
    assert customer.refused("GET", f"/{id}").code == "BadToken"
    customer.token = "fresh"
    assert customer.state(id) == "ACTIVE"


# --- what it keeps count of ---


def test_two_live_jobs_of_one_key_are_a_violation_in_whichever_accounts(vendor: FakeVendor, customer: Customer) -> None:
    vendor.add_account("other")
    customer.submit("a", tags={KEY: "k"}, seconds=1)
    vendor.tick(1)
    customer.submit("b", tags={KEY: "k"}, seconds=None)
    assert (vendor.violations, vendor.made("k"), vendor.live("k")) == ([], 2, 1)
    vendor.make_foreign("c", tags={KEY: "k"}, account="other")
    assert len(vendor.violations) == 1


def test_the_journal_tells_every_request_in_order(vendor: FakeVendor, customer: Customer) -> None:
    id = customer.submit("a", seconds=None)
    vendor.faults.add("reset before", "cancel", times=1)
    with pytest.raises(VendorUnreachableError):
        customer.call("POST", f"/{id}/cancel")
    customer.call("POST", f"/{id}/cancel")
    told = [(entry.call, entry.account, entry.job, entry.status) for entry in vendor.journal]
    assert told == [("submit", "main", id, 201), ("cancel", "main", id, 0), ("cancel", "main", id, 202)]


def test_many_customers_at_once_are_all_served_and_none_twice() -> None:
    with FakeVendor(live_limit=50) as vendor:
        customer = Customer(vendor.url)

        def submit(number: int) -> bool:
            try:
                customer.submit(f"n{number}", tags={KEY: str(number)}, seconds=None)
            except VendorError as error:
                assert error.code == "TooManyJobs"
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            taken = sum(pool.map(submit, range(120)))
        assert (taken, vendor.live(), vendor.refused("TooManyJobs"), vendor.account().most_live) == (50, 50, 70, 50)
        assert vendor.violations == []


# --- what is no request ---


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a"},
        {"spec": {}},
        {"name": "a", "spec": {"seconds": "soon"}},
        {"name": "a", "spec": {}, "tags": 3},
        {"name": "a", "spec": {"items": [1]}},
        [1],
    ],
)
def test_a_wrong_request_is_refused_and_makes_nothing(vendor: FakeVendor, customer: Customer, body: Any) -> None:
    assert customer.refused("POST", "", body).code == "BadRequest"
    assert vendor.jobs() == []


def test_a_wrong_cursor_or_path_is_refused(customer: Customer) -> None:
    assert customer.refused("GET", "", cursor="x").code == "BadRequest"
    assert customer.refused("PUT", "/j-1/eat").code == "NoSuchCall"


def test_what_is_no_http_ends_only_its_own_connection(vendor: FakeVendor, customer: Customer) -> None:
    parts = urlsplit(vendor.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as raw:
        raw.sendall(b"HELO mail\r\n\r\n")
        assert raw.recv(100) == b""
    assert customer.submit("a")


def test_nothing_of_it_is_left_when_it_has_stopped() -> None:
    before = threading.active_count()
    with FakeVendor() as vendor:
        customer = Customer(vendor.url)
        vendor.faults.add("silent after", "list")
        customer.submit("a")
        parts = urlsplit(vendor.url)
        raw = socket.create_connection((parts.hostname, parts.port), timeout=10)
        request = f"GET /accounts/main/jobs?name=a HTTP/1.1\r\nAuthorization: Bearer {vendor.token}\r\n\r\n"
        raw.sendall(request.encode())
    assert threading.active_count() == before
    with raw, pytest.raises(ConnectionError):
        while raw.recv(100):
            pass
        raise ConnectionResetError  # an end in order will do as well
    with pytest.raises(VendorUnreachableError) as caught:
        Customer(vendor.url).submit("b")
    assert caught.value.sent is False


def test_it_runs_in_a_process_of_its_own_until_its_input_ends() -> None:
    command = [sys.executable, "-m", "flytepath.testing.fake_vendor", "--speed", "0", "--live-limit", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        customer = Customer(process.stdout.readline().strip())
        customer.submit("a", seconds=None)
        assert customer.refused("POST", "", {"name": "b", "spec": {}}).code == "TooManyJobs"
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == 0
