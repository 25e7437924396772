"""Each fault of the fake vendor does what it says, to the calls it befalls and to no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flytepath.testing.fake_vendor import FakeVendor, FaultKind, Faults, VendorClient, VendorError
from flytepath.testing.fake_vendor import VendorUnreachableError as Unreachable

Call = Callable[..., Any]


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    with FakeVendor(speed=0) as vendor:
        yield vendor


@pytest.fixture
def call(vendor: FakeVendor) -> Iterator[Call]:
    client = VendorClient(vendor.url, "main", timeout=10.0)

    def call(method: str, path: str = "", body: Any = None, **query: str) -> Any:
        return client.call(method, path, vendor.token, body, **query)

    yield call
    client.close()


def job(name: str = "a", **spec: Any) -> dict[str, Any]:
    return {"name": name, "tags": {"run": "r"}, "spec": {"seconds": None, **spec}}


@pytest.mark.parametrize(("kind", "is_made"), [("reset before", False), ("reset after", True)])
def test_a_cut_connection_tells_nothing_of_whether_the_job_was_made(
    vendor: FakeVendor, call: Call, kind: str, is_made: bool
) -> None:
    vendor.faults.add(kind, "submit", times=1)
    with pytest.raises(Unreachable) as caught:
        call("POST", "", job())
    assert (caught.value.sent, len(vendor.jobs())) == (True, int(is_made))
    call("POST", "", job("b"))


def test_silence_lasts_until_the_client_has_had_enough(vendor: FakeVendor) -> None:
    vendor.faults.add(FaultKind.SILENT_AFTER, "submit", times=1)
    client = VendorClient(vendor.url, "main", timeout=0.1)
    with pytest.raises(Unreachable) as caught:
        client.call("POST", "", vendor.token, job())
    client.close()
    assert (caught.value.sent, len(vendor.jobs())) == (True, 1)


@pytest.mark.parametrize(
    ("kind", "status", "code", "made"),
    [
        ("error before", 500, "InternalError", 0),
        ("error after", 500, "InternalError", 1),
        ("unavailable", 503, "Unavailable", 0),
        ("throttled", 429, "Throttled", 0),
        ("refused", 400, "BadRequest", 0),
    ],
)
def test_errors_come_with_their_status_and_with_or_without_effect(
    vendor: FakeVendor, call: Call, kind: str, status: int, code: str, made: int
) -> None:
    vendor.faults.add(kind, "submit", times=1, seconds=1.5)
    with pytest.raises(VendorError) as caught:
        call("POST", "", job())
    assert (caught.value.status, caught.value.code, len(vendor.jobs())) == (status, code, made)
    assert caught.value.retry_after == (1.5 if status in (429, 503) else None)


def test_garbage_is_told_apart_from_an_answer(vendor: FakeVendor, call: Call) -> None:
    vendor.faults.add("garbage", "submit", times=1)
    with pytest.raises(Unreachable, match="no JSON"):
        call("POST", "", job())
    assert len(vendor.jobs()) == 1


def test_a_slow_call_is_late_and_holds_up_no_other(vendor: FakeVendor, call: Call) -> None:
    vendor.faults.add("slow", "list", seconds=0.05, times=1)
    began = time.monotonic()
    call("GET", "", name="a")
    assert time.monotonic() - began >= 0.05
    vendor.faults.add("slow", "list", seconds=3600.0, account="main", name="never")
    call("GET", "", name="a")


def test_refused_connections_are_taken_again_at_the_same_address(vendor: FakeVendor, call: Call) -> None:
    id = call("POST", "", job())["id"]
    url = vendor.url
    with vendor.refusing_connections():
        with pytest.raises(Unreachable) as caught:
            call("POST", "", job("b"))
        with pytest.raises(Unreachable) as again:
            call("GET", f"/{id}")
        assert again.value.sent is False
    assert caught.value.sent is True  # on the connection that was kept
    assert vendor.url == url
    assert call("GET", f"/{id}")["state"] == "ACTIVE"


def test_a_kept_connection_that_was_cut_meanwhile_is_replaced_for_what_may_be_asked_twice(
    vendor: FakeVendor, call: Call
) -> None:
    id = call("POST", "", job())["id"]
    with vendor.refusing_connections():
        pass
    assert call("GET", f"/{id}")["state"] == "ACTIVE"
    with vendor.refusing_connections():
        pass
    with pytest.raises(Unreachable) as caught:
        call("POST", f"/{id}/cancel")
    assert caught.value.sent is True


def test_a_job_may_be_done_in_the_answer_to_its_submission(vendor: FakeVendor, call: Call) -> None:
    vendor.faults.add("at once")
    assert call("POST", "", job())["state"] == "FINISHED"
    assert call("POST", "", {"name": "b", "spec": {"items": [{"seconds": 9}]}})["items"] == {"FINISHED": [0]}
    assert vendor.live() == 0


def test_a_hidden_job_is_there_and_not_found(vendor: FakeVendor, call: Call) -> None:
    vendor.faults.add("hidden", seconds=2, times=1)
    id = call("POST", "", job())["id"]
    assert call("GET", f"/{id}")["state"] == "ACTIVE"
    assert call("GET", "", **{"tag.run": "r"})["jobs"] == []
    vendor.tick(2)
    assert [found["id"] for found in call("GET", "", **{"tag.run": "r"})["jobs"]] == [id]


def test_a_cancellation_is_refused_once(vendor: FakeVendor, call: Call) -> None:
    id = call("POST", "", job())["id"]
    vendor.faults.add("cancel refused", times=1)
    with pytest.raises(VendorError, match="CannotCancelNow"):
        call("POST", f"/{id}/cancel")
    assert call("POST", f"/{id}/cancel")["state"] == "CANCELED"


def test_a_result_is_not_there_at_once(vendor: FakeVendor, call: Call) -> None:
    id = call("POST", "", job(outputs={"n": 1}))["id"]
    with pytest.raises(VendorError, match="ResultNotReady"):
        call("GET", f"/{id}/result")
    vendor.finish(id)
    vendor.faults.add("no result yet", times=2)
    for _ in range(2):
        with pytest.raises(VendorError, match="ResultNotReady"):
            call("GET", f"/{id}/result")
    assert call("GET", f"/{id}/result") == {"outputs": {"n": 1}}


def test_one_poisoned_job_spoils_every_look_it_is_in(vendor: FakeVendor, call: Call) -> None:
    good, bad = call("POST", "", job("a"))["id"], call("POST", "", job("b"))["id"]
    vendor.poison(bad)
    for path, query in (("", {"ids": f"{good},{bad}"}), (f"/{bad}", {})):
        with pytest.raises(VendorError, match="DamagedRecord"):
            call("GET", path, **query)
    assert len(call("GET", "", ids=good)["jobs"]) == 1


def test_a_forced_state_stays_until_the_job_is_cancelled_or_ended(vendor: FakeVendor, call: Call) -> None:
    id = call("POST", "", job(seconds=1))["id"]
    vendor.set_state(id, "DEFROSTING")
    vendor.tick(99)
    assert (call("GET", f"/{id}")["state"], vendor.live()) == ("DEFROSTING", 1)
    assert call("POST", f"/{id}/cancel")["state"] == "CANCELED"
    other = call("POST", "", job("b"))["id"]
    vendor.set_state(other, "EVICTED")
    assert vendor.live() == 0


def test_faults_befall_the_calls_accounts_and_names_they_are_for() -> None:
    faults = Faults()
    faults.add("reset after", "submit", account="main", name="a", times=2)
    assert faults.take("cancel", "main", "a") == []
    assert faults.take("submit", "other", "a") == []
    assert faults.take("submit", "main", "b") == []
    assert [len(faults.take("submit", "main", "a")) for _ in range(3)] == [1, 1, 0]


def test_chance_is_the_same_for_the_same_seed() -> None:
    def happened(seed: int) -> list[int]:
        faults = Faults(seed)
        faults.add("slow", probability=0.3)
        return [len(faults.take("get", "main", "a")) for _ in range(200)]

    assert happened(1) == happened(1) != happened(2)
    assert 30 < sum(happened(1)) < 90


def test_faults_are_switched_off_one_by_one_and_all_at_once() -> None:
    faults = Faults()
    first, second = faults.add("slow"), faults.add("garbage")
    faults.remove(first)
    assert faults.take("get", "main", "a") == [second]
    faults.clear()
    assert faults.take("get", "main", "a") == []
    with pytest.raises(ValueError, match="melted"):
        faults.add("melted")
