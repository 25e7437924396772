"""The backend ``snowflake`` keeps to the contract, with the real connector against the double of the service."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flyte_plugin_snowflake.backend import SnowflakeBackend
from flyte_plugin_snowflake.plugin import flytepath_backends
from flyte_plugin_snowflake.settings import SnowflakeSettings
from flyte_plugin_snowflake.testing.service import Query, SnowflakeService
from flytepath.plugin import Handle, JobKey, SecretReference
from flytepath.testing import BackendConformance
from flytepath.testing.backend_conformance import BackendVendor, Course

Json = Any
TEXTS = {
    Course.RUNS: "call system$wait(600)",
    Course.ENDS: "select 1 as x",
    Course.FAILS: "select * from no_such_table",
}


@functools.cache
def running() -> SnowflakeService:
    return SnowflakeService().__enter__()


class Vendor(BackendVendor):
    task_type = "snowflake"

    def __init__(self, service: SnowflakeService) -> None:
        self.account = service.account
        self.account.queries.clear()
        self.port = service.port

    def backend(self) -> SnowflakeBackend:
        return SnowflakeBackend(
            SnowflakeSettings(
                account="acme-eu", user="ETL", database="SALES", schema="PUBLIC", password=SecretReference("snow", "pw"),
                host="127.0.0.1", port=self.port, protocol="http", login_seconds=5, answer_seconds=10, history_page=100,
            )
        )  # fmt: skip

    def payload(self, course: Course) -> Json:
        return {"config": {}, "query": {"pieces": [TEXTS[course]], "statements": 1}, "outputs": {}}

    def count(self, key: JobKey) -> int:
        return len(self.account.of(key.value))

    def live(self, key: JobKey) -> int:
        return sum(query.now() in ("RUNNING", "ABORTING") for query in self.account.of(key.value))

    def secret(self, reference: SecretReference) -> bytes:
        return self.account.password.encode()

    def finish(self, handle: Handle) -> None:
        self.account.queries[handle.data["id"]].until = time.time()

    def unknown_state(self, handle: Handle) -> str:
        self.account.queries[handle.data["id"]].state = "PONDERING"
        return "PONDERING"

    def fail_polls(self, times: int) -> None:
        self.account.failing_looks = times

    def cut_off_after_accept(self) -> None:
        self.account.lost_answers = 1

    def refuse_submit(self) -> None:
        self.account.refusals = 1

    def reject_credentials(self, rejected: bool) -> None:
        self.account.rejecting = rejected

    def hide_new_jobs(self, seconds: float) -> None:
        self.account.hidden_seconds = seconds

    def linger(self, seconds: float) -> None:
        self.account.linger_seconds = seconds

    def make_foreign(self, name: str) -> str:
        now = time.time()
        self.account.queries["f"] = Query("f", name, "ETL", "call system$wait(600)", "f", now, now, now + 600)
        return "f"

    def is_untouched(self, foreign: str) -> bool:
        return self.account.queries[foreign].now() == "RUNNING"


# fakesnow's use of its own database.
@pytest.mark.filterwarnings("ignore:Arrow output on a DB-API:UserWarning")
class TestSnowflakeBackend(BackendConformance):
    declaration = flytepath_backends()[0]
    # Each error of the service is waited out by the connector too.
    scattered_errors = 20

    @contextmanager
    def vendor(self) -> Iterator[Vendor]:
        service = running()
        account = service.account
        account.failing_looks = 0
        account.rejecting, account.hidden_seconds, account.linger_seconds = False, 0.0, 0.0
        yield Vendor(service)
