"""What Snowflake says of a query is what core is told, for every word that is documented."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from flyte_plugin_snowflake.backend import SnowflakeBackend
from flyte_plugin_snowflake.testing.service import Account, SnowflakeService
from flyte_plugin_snowflake.vendor_errors import STATES
from flytepath.plugin import BackendError, ErrorClass, Gone, Handle, InProgress, Observation, Phase, Terminal
from snowflake_calls import bound_backend, ended, request, run

#: The page of SYSTEM$GET_RESULTSET_STATUS and the connector's QueryStatus; then EXECUTION_STATUS of the history.
DOCUMENTED = {
    "RUNNING": Phase.RUNNING,
    "SUCCESS": Phase.SUCCEEDED,
    "ABORTING": Phase.RUNNING,
    "FAILED_WITH_ERROR": Phase.FAILED,
    "FAILED_WITH_INCIDENT": Phase.FAILED,
    "ABORTED": Phase.CANCELLED,
    "QUEUED": Phase.QUEUED,
    "DISCONNECTED": Phase.RUNNING,
    "RESUMING_WAREHOUSE": Phase.INITIALIZING,
    "QUEUED_REPAIRING_WAREHOUSE": Phase.INITIALIZING,
    "QUEUED_REPARING_WAREHOUSE": Phase.INITIALIZING,
    "RESTARTED": Phase.RUNNING,
    "BLOCKED": Phase.RUNNING,
    "NO_DATA": Phase.QUEUED,
    "FAIL": Phase.FAILED,
    "INCIDENT": Phase.FAILED,
}


@pytest.fixture
def backend(account: Account, snowflake_service: SnowflakeService) -> Iterator[SnowflakeBackend]:
    with bound_backend(account, snowflake_service.port) as found:
        yield found


def running(backend: SnowflakeBackend) -> Handle:
    return run(backend.submit(backend.plan(request("call system$wait(600)"))))


def test_the_table_has_every_documented_state_and_no_other() -> None:
    assert {state: phase for state, (phase, _) in STATES.items()} == DOCUMENTED


@pytest.mark.parametrize("state", sorted(DOCUMENTED.keys() - {"NO_DATA", "FAIL", "INCIDENT"}))
def test_a_state_is_seen_as_what_it_means(state: str, backend: SnowflakeBackend, account: Account) -> None:
    handle = running(backend)
    account.queries[handle.data["id"]].state = state
    if DOCUMENTED[state] is Phase.FAILED:
        account.queries[handle.data["id"]].code = 100038
    [seen] = run(backend.poll([handle])).values()
    assert isinstance(seen, Observation)
    assert (seen.phase, seen.raw_state) == (DOCUMENTED[state], state)
    assert seen.links[0][1].endswith(f"/{handle.data['id']}/detail")


def test_who_waits_is_told_for_what(backend: SnowflakeBackend, account: Account) -> None:
    handle = running(backend)
    account.queries[handle.data["id"]].state = "RESUMING_WAREHOUSE"
    [seen] = run(backend.poll([handle])).values()
    assert isinstance(seen, Observation) and seen.reason == "the warehouse is being resumed"


def test_a_query_of_which_nothing_is_known_yet_is_not_gone_at_once(backend: SnowflakeBackend, account: Account) -> None:
    handle = running(backend)
    del account.queries[handle.data["id"]]
    [seen] = run(backend.poll([handle])).values()
    assert isinstance(seen, Observation) and (seen.raw_state, seen.gone) == ("NO_DATA", False)
    deadline = time.monotonic() + 60
    while not seen.gone:
        assert time.monotonic() < deadline
        [seen] = run(backend.poll([handle])).values()
        assert isinstance(seen, Observation)
    assert "any more" in seen.reason


def test_a_failed_query_has_snowflakes_own_code_state_and_text(backend: SnowflakeBackend) -> None:
    seen = ended(backend, run(backend.submit(backend.plan(request("select * from no_such_table")))))
    assert (seen.phase, seen.error_class) == (Phase.FAILED, ErrorClass.USER)
    assert seen.reason.startswith("Snowflake 002003 (42S02): ") and "NO_SUCH_TABLE" in seen.reason


def test_an_incident_is_nobodys_fault(backend: SnowflakeBackend, account: Account) -> None:
    handle = running(backend)
    account.queries[handle.data["id"]].end("FAILED_WITH_INCIDENT", 300002, "internal error", "XX000")
    assert ended(backend, handle).error_class is ErrorClass.LOST


def test_many_queries_are_looked_at_in_one_session(backend: SnowflakeBackend, account: Account) -> None:
    handles = [run(backend.submit(backend.plan(request("select 1")))) for _ in range(10)]
    account.requests.clear()
    seen = run(backend.poll(handles))
    assert {found.phase for found in seen.values()} == {Phase.SUCCEEDED}  # type: ignore[union-attr]
    assert len(account.requests) == 10, "one question for each, and no login"


def test_one_look_that_fails_spoils_only_its_own_answer(backend: SnowflakeBackend, account: Account) -> None:
    good, bad = running(backend), running(backend)
    account.poisoned.add(bad.data["id"])
    seen = run(backend.poll([good, bad]))
    assert isinstance(seen[good], Observation)
    assert isinstance(seen[bad], BackendError) and seen[bad].error_class is ErrorClass.TRANSIENT


def test_a_query_that_is_done_when_it_is_submitted_is_seen_as_that(backend: SnowflakeBackend) -> None:
    handle = run(backend.submit(backend.plan(request("select 1"))))
    [seen] = run(backend.poll([handle])).values()
    assert isinstance(seen, Observation) and seen.phase is Phase.SUCCEEDED


def test_cancelling_goes_on_until_the_query_has_ended(backend: SnowflakeBackend, account: Account) -> None:
    plan = backend.plan(request("call system$wait(600)"))
    handle = run(backend.submit(plan))
    account.linger_seconds = 0.3
    first = run(backend.cancel(plan.key, handle, "not wanted"))
    assert first == InProgress("ABORTING")
    deadline, answer = time.monotonic() + 60, first
    while isinstance(answer, InProgress):
        assert time.monotonic() < deadline
        answer = run(backend.cancel(plan.key, handle, "not wanted"))  # type: ignore[assignment]
    assert isinstance(answer, Terminal) and answer.observation.phase is Phase.CANCELLED
    assert run(backend.cancel_planned(backend.plan(request("select 1")), "never submitted")) == Gone()


def test_queries_are_found_page_by_page(account: Account, snowflake_service: SnowflakeService) -> None:
    with bound_backend(account, snowflake_service.port, history_page=3) as backend:
        plans = [backend.plan(request("select 1")) for _ in range(7)]
        handles = [run(backend.submit(plan)) for plan in plans]
        found = run(backend.find(plans[0]))
        assert getattr(found, "handle", None) == handles[0]
        owned = run(backend.list_owned("here")).jobs
        assert {job.key for job in owned} == {plan.key for plan in plans}
        assert not run(backend.list_owned("elsewhere")).jobs
