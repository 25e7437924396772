"""Statements: one or several, with rows or without, read in pieces or left at Snowflake, and found again whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flyte_plugin_snowflake import SnowflakeConfig, SnowflakeTask
from flyte_plugin_snowflake.backend import SnowflakeBackend
from flyte_plugin_snowflake.errors import SnowflakeTaskError
from flyte_plugin_snowflake.testing.service import Account, SnowflakeService
from flytepath.plugin import BackendError, ErrorClass, Found, Literal, LiteralType, Phase, PoolAsk, RateLimit, Terminal
from snowflake_calls import bound_backend, ended, reference, request, run, table_of
from snowflake_vendor import settings


@pytest.fixture
def backend(account: Account, snowflake_service: SnowflakeService) -> Iterator[SnowflakeBackend]:
    with bound_backend(account, snowflake_service.port) as found:
        yield found


def rows(backend: SnowflakeBackend, blobs: Any, *args: Any, **more: Any) -> list[dict[str, Any]]:
    """The rows of a query's result."""
    plan = backend.plan(request(*args, **more))
    handle = run(backend.submit(plan))
    seen = ended(backend, handle)
    assert seen.phase is Phase.SUCCEEDED, seen
    result = run(backend.collect(handle, blobs))["results"]
    return table_of(blobs, result).to_pylist()  # type: ignore[no-any-return]


def test_the_result_of_several_statements_is_that_of_the_last(backend: SnowflakeBackend, memory_blobs: Any) -> None:
    mark = {"name": "n", "type": "integer", "kind": "value"}
    pieces = ["create or replace table s1 (n int); insert into s1 values (", mark, "), (", mark, "); "]
    pieces += ["select n + ", mark, " as more from s1 -- the end; really"]
    given = {"n": Literal.make(LiteralType("integer"), 20)}
    assert rows(backend, memory_blobs, "", statements=3, pieces=pieces, inputs=given) == [{"MORE": 40}, {"MORE": 40}]


def test_a_statement_without_rows_ends_and_has_what_snowflake_says_of_it(
    backend: SnowflakeBackend, memory_blobs: Any
) -> None:
    assert rows(backend, memory_blobs, "create or replace table s2 (a int)") == [
        {"status": "Table S2 successfully created."}
    ]
    assert rows(backend, memory_blobs, "insert into s2 values (1), (2)") == [{"number of rows inserted": 2}]
    assert rows(backend, memory_blobs, "select * from s2 where a > 5") == []


def test_a_task_without_an_output_collects_nothing(
    backend: SnowflakeBackend, account: Account, memory_blobs: Any
) -> None:
    handle = run(backend.submit(backend.plan(request("create or replace table s3 (a int)", outputs={}))))
    ended(backend, handle)
    account.requests.clear()
    assert run(backend.collect(handle, memory_blobs)) == {} and not account.requests


def test_another_number_of_statements_than_was_said_is_refused(backend: SnowflakeBackend) -> None:
    seen = ended(backend, run(backend.submit(backend.plan(request("select 1; select 2")))))
    assert seen.phase is Phase.FAILED and "Snowflake 000008" in seen.reason


def test_the_second_of_several_that_fails_is_told(backend: SnowflakeBackend) -> None:
    seen = ended(backend, run(backend.submit(backend.plan(request("select 1; select * from nope", statements=2)))))
    assert (seen.phase, seen.error_class) == (Phase.FAILED, ErrorClass.USER) and "NOPE" in seen.reason


def test_of_several_statements_the_whole_is_found_listed_and_cancelled(
    backend: SnowflakeBackend, account: Account
) -> None:
    plan = backend.plan(request("select 1; call system$wait(600)", statements=2))
    handle = run(backend.submit(plan))
    assert run(backend.find(plan)) == Found(handle)
    assert [job.handle.data["id"] for job in run(backend.list_owned("here")).jobs] == [handle.data["id"]]
    answer = run(backend.cancel_planned(plan, "not wanted"))
    assert isinstance(answer, Terminal) and answer.observation.phase is Phase.CANCELLED
    assert not account.running()
    assert run(backend.find(plan)) == Found(handle), "when it has ended, too"


def test_exact_numbers_stay_exact(backend: SnowflakeBackend, memory_blobs: Any) -> None:
    from decimal import Decimal

    [row] = rows(backend, memory_blobs, "select 99999999999999999.25::number(38, 2) as a, 9007199254740993 as b")
    assert row == {"A": Decimal("99999999999999999.25"), "B": 9007199254740993}


class Slow:
    """A store that counts, whenever it is written to, how many pieces the service has given."""

    def __init__(self, sink: Any, account: Account) -> None:
        self._sink, self._account = sink, account
        self.ahead: list[int] = []
        self.written = 0
        self.writers: list[Any] = []

    def create(self, *args: Any, **named: Any) -> Any:
        writer, outer = self._sink.create(*args, **named), self

        class Counted:
            def __enter__(self) -> Counted:
                self.inner = writer.__enter__()
                outer.writers.append(self.inner)
                return self

            def __exit__(self, *failure: Any) -> Any:
                return writer.__exit__(*failure)

            def write(self, data: bytes) -> Any:
                outer.written += len(data)
                outer.ahead.append(len(outer._account.chunks_given))
                return self.inner.write(data)

            @property
            def ref(self) -> Any:
                return self.inner.ref

        return Counted()


def test_a_large_result_is_read_piece_by_piece(backend: SnowflakeBackend, account: Account, memory_blobs: Any) -> None:
    account.chunk_rows = 100
    text = "select seq4() as n, repeat('x', 100) as s from table(generator(rowcount => 5000))"
    handle = run(backend.submit(backend.plan(request(text))))
    assert ended(backend, handle).phase is Phase.SUCCEEDED
    slow = Slow(memory_blobs, account)
    result = run(backend.collect(handle, slow))["results"]  # type: ignore[arg-type]
    assert result.data["rows"] == 5000 and len(account.chunks_given) == 49
    # When the first piece is written, only those are fetched that the connector reads ahead.
    assert slow.ahead[0] <= 15 < slow.ahead[-1]


def test_pieces_of_other_widths_have_one_type(backend: SnowflakeBackend, account: Account, memory_blobs: Any) -> None:
    account.chunk_rows = 2
    found = rows(backend, memory_blobs, "select n from (values (1), (2), (3000000000), (4)) as v (n)")
    assert [row["N"] for row in found] == [1, 2, 3000000000, 4]


def test_a_result_may_stay_where_it_is(backend: SnowflakeBackend, account: Account, memory_blobs: Any) -> None:
    config = SnowflakeConfig(result="reference", role="LOADER", password=reference("password"))
    handle = run(backend.submit(backend.plan(request("select 1 as one", config))))
    ended(backend, handle)
    result = run(backend.collect(handle, memory_blobs))["results"]
    assert (result.ref, result.format) == (None, "snowflake")
    assert result.data["uri"] == (
        f"snowflake://ETL@acme-eu/SALES/PUBLIC?role=LOADER&password_secret=snowflake%2Fpassword&query_id={handle.data['id']}"
    )
    assert not memory_blobs.contents


def test_of_several_statements_the_last_is_referred_to(
    backend: SnowflakeBackend, account: Account, memory_blobs: Any
) -> None:
    plan = backend.plan(request("select 1; select 2 as two", SnowflakeConfig(result="reference"), 2))
    handle = run(backend.submit(plan))
    ended(backend, handle)
    uri = run(backend.collect(handle, memory_blobs))["results"].data["uri"]
    assert uri.endswith(f"query_id={account.queries[handle.data['id']].children[-1]}")


def test_a_result_of_another_kind_than_a_frame_is_refused() -> None:
    with pytest.raises(SnowflakeTaskError, match="one frame"):
        SnowflakeTask(name="t", query_template="select 1", output_schema_type=int)
    with pytest.raises(SnowflakeTaskError, match="no result to refer to"):
        SnowflakeTask(name="t", query_template="select 1", task_config=SnowflakeConfig(result="reference"))


def test_the_tag_says_whose_a_query_is(backend: SnowflakeBackend, account: Account) -> None:
    import json

    plan = backend.plan(request("select 1"))
    handle = run(backend.submit(plan))
    query = account.queries[handle.data["id"]]
    assert json.loads(query.tag) == {
        "flytepath-key": plan.key.value,
        "installation": "here",
        "digest": plan.digest,
        "owner": ["vision", "staging", "e1", "n0"],
    }


def test_a_second_try_of_a_submission_has_the_same_request_id(backend: SnowflakeBackend, account: Account) -> None:
    plan = backend.plan(request("select 1"))
    account.hidden_seconds = 600  # so that looking for it does not help
    first, second = run(backend.submit(plan)), run(backend.submit(plan))
    assert first == second and len(account.of(plan.key.value)) == 1


def test_two_who_submit_at_once_make_one_query(account: Account, snowflake_service: SnowflakeService) -> None:
    account.hidden_seconds = 600
    with bound_backend(account, snowflake_service.port) as one, bound_backend(account, snowflake_service.port) as other:
        plan = one.plan(request("select 1"))
        threads = [threading.Thread(target=lambda who=who: run(who.submit(plan))) for who in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(account.of(plan.key.value)) == 1


def test_the_time_limit_of_the_task_is_snowflakes_too(backend: SnowflakeBackend, account: Account) -> None:
    handle = run(backend.submit(backend.plan(request("select 1", timeout_seconds=29.5))))
    parameters = account.queries[handle.data["id"]].parameters
    assert parameters["STATEMENT_TIMEOUT_IN_SECONDS"] == "90", "some time later, for nobody may be there to cancel it"


def test_session_parameters_go_with_the_query(backend: SnowflakeBackend, account: Account) -> None:
    config = SnowflakeConfig(session_parameters={"timezone": "UTC", "STATEMENT_TIMEOUT_IN_SECONDS": 5})
    handle = run(backend.submit(backend.plan(request("select 1", config, timeout_seconds=100))))
    parameters = account.queries[handle.data["id"]].parameters
    assert (parameters["TIMEZONE"], parameters["STATEMENT_TIMEOUT_IN_SECONDS"]) == ("UTC", "5")


def test_limits_are_of_the_account_and_rates_of_the_settings() -> None:
    made = SnowflakeBackend(settings(1, calls_per_second=2.5, burst=3))
    plan = made.plan(request("select 1", SnowflakeConfig(account="acme-us", role="LOADER", token=reference("t"))))
    assert plan.pools == (PoolAsk("snowflake/acme-us"),) and plan.scope == "acme-us/ETL/LOADER"
    assert made.rate_limits == (RateLimit(per_second=2.5, burst=3),)


def test_an_owner_that_does_not_fit_into_the_tag_is_refused_when_it_is_planned(backend: SnowflakeBackend) -> None:
    from flytepath.plugin import Owner, Tenant

    owner = Owner("here", Tenant("vision", "staging"), "e1", "n" * 2000)
    with pytest.raises(BackendError, match="does not fit into its tag"):
        backend.plan(request("select 1", owner=owner))


@pytest.mark.parametrize("name", ["account", "user", "database", "password"])
def test_what_nobody_says_is_named(name: str) -> None:
    lacking = SnowflakeBackend(settings(1, **{name: None if name == "password" else ""}))
    with pytest.raises(BackendError) as caught:
        lacking.plan(request("select 1"))
    assert "[backends.snowflake]" in (caught.value.hint or "") and "SnowflakeConfig" in (caught.value.hint or "")


def test_a_moment_that_no_frame_holds_is_told_with_a_way_out(backend: SnowflakeBackend, memory_blobs: Any) -> None:
    handle = run(backend.submit(backend.plan(request("select '0001-01-01'::timestamp_ntz as x"))))
    assert ended(backend, handle).phase is Phase.SUCCEEDED
    with pytest.raises(BackendError, match="does not fit") as caught:
        run(backend.collect(handle, memory_blobs))
    assert caught.value.error_class is ErrorClass.USER and "TIMESTAMP_NTZ(6)" in (caught.value.hint or "")
