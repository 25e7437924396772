"""The double as the conformance kit plays with it."""

from __future__ import annotations

import time
from typing import Any

from flyte_plugin_snowflake.backend import SnowflakeBackend
from flyte_plugin_snowflake.settings import SnowflakeSettings
from flyte_plugin_snowflake.testing.service import Query, SnowflakeService
from flytepath.plugin import Handle, JobKey, SecretReference
from flytepath.testing.backend_conformance import BackendVendor, Course

Json = Any
TEXTS = {
    Course.RUNS: "call system$wait(600)",
    Course.ENDS: "select 1 as x",
    Course.FAILS: "select * from no_such_table",
}


def settings(port: int, **more: Any) -> SnowflakeSettings:
    """Settings that lead to the double."""
    given = {
        "account": "acme-eu", "user": "ETL", "database": "SALES", "schema": "PUBLIC",
        "password": SecretReference("snowflake", "password"), "host": "127.0.0.1", "port": port, "protocol": "http",
        "login_seconds": 20, "answer_seconds": 10, "history_page": 100, "missing_seconds": 0.3,
    }  # fmt: skip
    return SnowflakeSettings(**{**given, **more})


def settings_text(port: int, **more: str) -> str:
    """``[backends.snowflake]`` for the double, with a password from the environment; ``more`` are values in TOML."""
    given = {
        "account": '"acme-eu"',
        "user": '"ETL"',
        "database": '"SALES"',
        "schema": '"PUBLIC"',
        "host": '"127.0.0.1"',
        "port": str(port),
        "protocol": '"http"',
        "login_seconds": "20",
        "answer_seconds": "10",
        "password": '{group = "snowflake", key = "password"}',
        **more,
    }
    return "[backends.snowflake]\n" + "".join(f"{name} = {value}\n" for name, value in given.items() if value)


class Vendor(BackendVendor):
    """The levers of the double."""

    task_type = "snowflake"

    def __init__(self, service: SnowflakeService) -> None:
        self.account = service.account
        self.account.reset()
        self.port = service.port

    def backend(self) -> SnowflakeBackend:
        return SnowflakeBackend(settings(self.port))

    def payload(self, course: Course) -> Json:
        outputs = {"results": {"kind": "dataframe"}} if course is Course.ENDS else {}
        return {"config": {}, "query": {"pieces": [TEXTS[course]], "statements": 1}, "outputs": outputs}

    def count(self, key: JobKey) -> int:
        return len(self.account.of(key.value))

    def live(self, key: JobKey) -> int:
        return sum(query.is_live for query in self.account.of(key.value))

    def secret(self, reference: SecretReference) -> bytes:
        return self.account.password.encode()

    def finish(self, handle: Handle) -> None:
        self.account.queries[handle.data["id"]].until = time.time()

    def vanish(self, handle: Handle) -> None:
        del self.account.queries[handle.data["id"]]

    def preempt(self, handle: Handle) -> None:
        query = self.account.queries[handle.data["id"]]
        query.end("FAILED_WITH_INCIDENT", 603, "SQL execution internal error", "XX000")

    def unknown_state(self, handle: Handle) -> str:
        self.account.queries[handle.data["id"]].state = "PONDERING"
        return "PONDERING"

    def poison(self, handle: Handle) -> None:
        self.account.poisoned.add(handle.data["id"])

    def fail_polls(self, times: int) -> None:
        # A look that failed is made a second time at once, to tell trouble of the service from an end of the query.
        self.account.failing_looks = 2 * times

    def fail_collects(self, times: int) -> None:
        self.account.failing_results = times

    def throttle(self, seconds: float) -> None:
        self.account.throttled = 1

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
