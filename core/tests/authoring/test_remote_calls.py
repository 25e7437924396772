"""Direct calls of tasks that run on a backend: values, failures, retries, time, pools, loops and threads."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_distributions import Distributions
from flytepath import (
    PythonInstanceTask,
    Retry,
    Timeout,
    conditional,
    dynamic,
    eager,
    kwtypes,
    map_task,
    task,
    task_mock,
    workflow,
)
from flytepath.engine.jobs.vendor_calls import Patience
from flytepath.errors import EagerError, FlytePathError, MapFailedError
from flytepath.testing.fake_vendor import FakeVendor, FaultKind
from flytepath.testing.reference_task import VendorJob
from remote_vendor import vendor_installed


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FakeVendor, Distributions]]:
    with vendor_installed(tmp_path, monkeypatch) as both:
        yield both


@pytest.fixture
def vendor(installed: tuple[FakeVendor, Distributions]) -> FakeVendor:
    return installed[0]


@pytest.fixture
def fakes(installed: tuple[FakeVendor, Distributions]) -> Distributions:
    return installed[1]


def sizes(vendor: FakeVendor) -> list[int]:
    """How many items each job had, the largest first: slices are submitted side by side."""
    return sorted((len(made.items) for made in vendor.jobs()), reverse=True)


def job(name: str = "remote.job", **config: Any) -> PythonInstanceTask:
    """A task that gives back what it is given."""
    settings = {key: config.pop(key) for key in list(config) if key not in VendorJob.__dataclass_fields__}
    config.setdefault("outputs", {"rows": {"$input": "x"}})
    return PythonInstanceTask(name, VendorJob(**config), inputs=kwtypes(x=int), outputs=kwtypes(rows=int), **settings)


def test_a_call_gives_what_the_job_gave(vendor: FakeVendor) -> None:
    assert job()(x=7) == 7
    assert not vendor.violations
    assert next(entry.call for entry in vendor.journal) == "submit"


def test_several_outputs_and_none(vendor: FakeVendor) -> None:
    two = PythonInstanceTask(
        "remote.two",
        VendorJob(outputs={"a": {"$input": "x"}, "b": "text"}),
        inputs=kwtypes(x=int),
        outputs=kwtypes(a=int, b=str),
    )
    nothing = PythonInstanceTask("remote.nothing", VendorJob(), inputs=kwtypes(x=int))
    assert two(x=3) == (3, "text")
    assert nothing(x=3) is None


def test_an_input_of_another_type_is_refused_before_anybody_is_asked(vendor: FakeVendor) -> None:
    with pytest.raises(TypeError, match="x"):
        job()(x="seven")
    assert not vendor.journal


def test_a_large_value_comes_back(vendor: FakeVendor) -> None:
    large = PythonInstanceTask(
        "remote.large",
        VendorJob(outputs={"all": list(range(30_000))}),
        outputs=kwtypes(all=list[int]),
    )
    assert large() == list(range(30_000))


# --- failures ----------------------------------------------------------------------------------------------------


def test_a_failure_says_what_the_vendor_said(vendor: FakeVendor) -> None:
    with pytest.raises(FlytePathError, match="no such table: people") as caught:
        job(outcome="ERRORED", exit_code=3, message="no such table: people")(x=1)
    error = caught.value
    assert error.code == "FP-JOB-FAILED"
    assert error.place == "remote.job"
    assert error.actual == "exit code 3"
    assert "in task remote.job" in error.__notes__
    again = pickle.loads(pickle.dumps(error))
    assert (again.code, str(again), type(again)) == (error.code, str(error), type(error))


def test_a_failure_shows_the_end_of_the_log(vendor: FakeVendor) -> None:
    lines = tuple(f"line {number}" for number in range(100))
    with pytest.raises(FlytePathError) as caught:
        job(outcome="ERRORED", log=(*lines, f"the token is {vendor.token}"))(x=1)
    [note] = [note for note in caught.value.__notes__ if "log" in note]
    assert "line 99" in note
    assert "line 9\n" not in note
    assert vendor.token not in note


def test_failures_of_the_user_are_retried_on_the_tasks_budget(vendor: FakeVendor) -> None:
    with pytest.raises(FlytePathError, match="boom"):
        job(outcome="ERRORED", message="boom", retries=2)(x=1)
    assert len(vendor.jobs()) == 3
    assert not vendor.violations


def test_what_is_taken_away_is_retried_on_the_systems_budget(vendor: FakeVendor) -> None:
    with pytest.raises(FlytePathError) as caught:
        job(outcome="EVICTED", retries=Retry(0, system=2))(x=1)
    assert caught.value.code == "FP-JOB-PREEMPTED"
    assert len(vendor.jobs()) == 3


def test_a_wrong_request_is_not_retried(vendor: FakeVendor) -> None:
    vendor.faults.add(FaultKind.REFUSED, "submit")
    with pytest.raises(FlytePathError) as caught:
        job(retries=5)(x=1)
    assert caught.value.code == "FP-JOB-INVALID"
    assert [entry.call for entry in vendor.journal].count("submit") == 1


def test_a_call_that_was_cut_off_is_adopted(vendor: FakeVendor) -> None:
    vendor.faults.add(FaultKind.RESET_AFTER, "submit", times=1)
    assert job()(x=5) == 5
    assert len(vendor.jobs()) == 1
    assert not vendor.violations


def test_a_secret_that_is_missing_is_told_by_name(vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYTEPATH_SECRET_VENDOR_TOKEN")
    with pytest.raises(FlytePathError, match="vendor") as caught:
        job()(x=5)
    assert caught.value.code == "FP-JOB-AUTH"
    assert not vendor.journal


def test_an_output_that_the_job_does_not_give_is_an_error(vendor: FakeVendor) -> None:
    with pytest.raises(FlytePathError, match="rows"):
        job(outputs={})(x=5)


def test_a_value_of_another_type_than_declared_is_an_error(vendor: FakeVendor) -> None:
    with pytest.raises(FlytePathError, match="rows"):
        job(outputs={"rows": "many"})(x=5)


def test_nothing_is_left_at_the_vendor_after_a_failure(vendor: FakeVendor) -> None:
    with pytest.raises(FlytePathError):
        job(outcome="ERRORED")(x=1)
    assert "clean" in [entry.call for entry in vendor.journal]


# --- time --------------------------------------------------------------------------------------------------------


def test_a_job_that_takes_too_long_is_cancelled(vendor: FakeVendor) -> None:
    with pytest.raises(TimeoutError, match=r"longer than its 0\.3 s") as caught:
        job(seconds=None, timeout=0.3)(x=1)
    assert caught.value.code == "FP-TIMEOUT"  # type: ignore[attr-defined]
    assert not vendor.live()


def test_a_job_that_waits_too_long_for_its_turn_is_cancelled(vendor: FakeVendor) -> None:
    with pytest.raises(TimeoutError, match="for its turn") as caught:
        job(seconds=60, states=("PENDING",), timeout=Timeout(max_queued_time=0.3), retries=3)(x=1)
    assert caught.value.code == "FP-QUEUE-TIMEOUT"  # type: ignore[attr-defined]
    assert len(vendor.jobs()) == 1
    assert not vendor.live()


# --- pools -------------------------------------------------------------------------------------------------------


def test_calls_made_together_share_a_pool(vendor: FakeVendor, fakes: Distributions) -> None:
    fakes.configure(
        f'[backends.vendor]\nurl = "{vendor.url}"\n[pools.matlab]\nlimit = 2\n[pools."vendor/main"]\nlimit = 100\n'
    )
    shared = job(seconds=0.1, pools={"matlab": 1})
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda x: shared(x=x), range(6)))
    assert found == list(range(6))
    assert vendor.account().most_live == 2


def test_a_pool_that_nobody_declares_is_named(vendor: FakeVendor) -> None:
    with pytest.raises(FlytePathError, match="matlab") as caught:
        job(pools={"matlab": 1})(x=1)
    assert caught.value.code == "FP-POOL-UNKNOWN"
    assert not vendor.journal


def test_more_than_there_will_ever_be_is_refused_at_once(vendor: FakeVendor, fakes: Distributions) -> None:
    fakes.configure(f'[backends.vendor]\nurl = "{vendor.url}"\n[pools.matlab]\nlimit = 2\n')
    with pytest.raises(FlytePathError, match="matlab"):
        job(pools={"matlab": 3})(x=1)
    assert not vendor.journal


# --- where calls come from ---------------------------------------------------------------------------------------


def test_threads_call_at_once(vendor: FakeVendor) -> None:
    plain = job(seconds=0.2)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda x: plain(x=x), range(8))) == list(range(8))
    assert vendor.account().most_live > 1


def test_a_call_from_a_running_loop(vendor: FakeVendor) -> None:
    async def body() -> int:
        return int(job()(x=4))

    assert asyncio.run(body()) == 4


def test_calls_in_a_workflow_follow_each_other(vendor: FakeVendor) -> None:
    first = job()

    @task
    def plus(x: int) -> int:
        return x + 1

    @workflow
    def flow(x: int) -> int:
        return first(x=plus(x=first(x=x)))

    assert flow(x=1) == 2
    assert len(vendor.jobs()) == 2


def test_only_the_case_that_is_chosen_runs(vendor: FakeVendor) -> None:
    one, other = job("remote.one"), job("remote.other", outputs={"rows": -1})

    @workflow
    def flow(x: int) -> int:
        return conditional("which").if_(x > 0).then(one(x=x)).else_().then(other(x=x))

    assert flow(x=3) == 3
    assert flow(x=-3) == -1
    assert len(vendor.jobs()) == 2


def test_dynamic_and_eager_tasks_call_jobs(vendor: FakeVendor) -> None:
    plain, bad = job(), job("remote.bad", outcome="ERRORED", message="boom")

    @dynamic
    def grown(n: int) -> list[int]:
        return [plain(x=x) for x in range(n)]

    @eager
    async def eagerly(n: int) -> int:
        try:
            bad(x=1)
        except EagerError as error:
            assert error.code == "FP-JOB-FAILED"
            return int(plain(x=n))
        return 0

    assert grown(n=2) == [0, 1]
    assert asyncio.run(eagerly(n=9)) == 9


def test_overrides_of_a_node_count(vendor: FakeVendor) -> None:
    bad = job(outcome="ERRORED", message="boom")

    @workflow
    def flow(x: int) -> int:
        return bad(x=x).with_overrides(retries=1)

    with pytest.raises(FlytePathError, match="boom"):
        flow(x=1)
    assert len(vendor.jobs()) == 2


def test_a_stand_in_needs_no_vendor(vendor: FakeVendor) -> None:
    plain = job()
    with task_mock(plain) as stand_in:
        stand_in.return_value = 5
        assert plain(x=1) == 5
    assert not vendor.journal


def test_what_is_cached_is_not_asked_for_again(vendor: FakeVendor) -> None:
    cached = job("remote.cached", cache=True, cache_version="1")
    assert [cached(x=1), cached(x=1), cached(x=2)] == [1, 1, 2]
    assert len(vendor.jobs()) == 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # of newer Pythons: there are threads
def test_a_forked_child_calls_on_its_own(vendor: FakeVendor) -> None:
    import multiprocessing

    plain = job()
    assert plain(x=1) == 1
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()

    def child() -> None:
        results.put(plain(x=2))

    process = context.Process(target=child)
    process.start()
    assert results.get(timeout=60) == 2
    process.join(60)
    assert process.exitcode == 0


def test_calls_of_other_tasks_load_nothing_of_it(tmp_path: Path) -> None:
    program = """
import sys
from flytepath import ShellTask, map_task, task, workflow

@task(pools={"matlab": 1})
def plain(x: int) -> int:
    return x

@workflow
def flow(xs: list[int]) -> list[int]:
    return map_task(plain)(x=xs)

assert flow(xs=[plain(x=1)]) == [1]
ShellTask(name="shell", script="true")()
words = ("remote", "direct_jobs", "engine.job", "engine.backends", "engine.admission", "engine.pools")
loaded = [name for name in sys.modules if name.startswith("flytepath.") and any(word in name for word in words)]
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# --- maps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3, 250])
def test_a_map_goes_in_slices(vendor: FakeVendor, count: int) -> None:
    assert map_task(job(seconds=0.05))(x=list(range(count))) == list(range(count))
    assert sizes(vendor) == {0: [], 1: [1], 3: [3], 250: [100, 100, 50]}[count]


def test_a_map_where_there_are_no_array_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with vendor_installed(tmp_path, monkeypatch, array=0) as (vendor, _):
        assert map_task(job(seconds=0.05))(x=list(range(20))) == list(range(20))
        assert len(vendor.jobs()) == 20
        assert map_task(job(seconds=0.05), concurrency=3)(x=list(range(9))) == list(range(9))
        assert vendor.account().most_live >= 3


def test_no_more_items_at_once_than_a_map_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with vendor_installed(tmp_path, monkeypatch, array=0) as (vendor, _):
        assert map_task(job(seconds=0.05), concurrency=2)(x=list(range(7))) == list(range(7))
        assert vendor.account().most_live == 2
    with vendor_installed(tmp_path / "arrays", monkeypatch, array=100) as (vendor, _):
        assert map_task(job(seconds=0.05), concurrency=2)(x=list(range(5))) == list(range(5))
        assert sizes(vendor) == [2, 2, 1]


def test_items_that_fail_are_tried_again_as_a_slice_of_their_own(vendor: FakeVendor) -> None:
    flaky = job(items={1: {"outcome": "ERRORED", "message": "bad item"}, 2: {"outcome": "EVICTED"}}, retries=1)
    with pytest.raises(FlytePathError, match="bad item") as caught:
        map_task(flaky)(x=[5, 6, 7, 8])
    assert "for item 1 of map_remote.job" in caught.value.__notes__
    assert sizes(vendor)[:2] == [4, 2]


def test_a_map_that_bears_failures(vendor: FakeVendor) -> None:
    flaky = job(items={1: {"outcome": "ERRORED", "message": "bad item"}})
    assert map_task(flaky, min_success_ratio=0.7)(x=[5, 6, 7, 8]) == [5, None, 7, 8]
    assert map_task(flaky, min_successes=3)(x=[5, 6, 7, 8]) == [5, None, 7, 8]
    bad = job(items={n: {"outcome": "ERRORED", "message": f"bad {n}"} for n in range(3)})
    with pytest.raises(MapFailedError, match=r"3 of 4 items of map_remote\.job failed"):
        map_task(bad, min_success_ratio=0.5)(x=[5, 6, 7, 8])


def test_what_cannot_matter_any_more_is_cancelled(vendor: FakeVendor) -> None:
    first_fails = job(seconds=None, items={0: {"outcome": "ERRORED", "message": "bad item", "seconds": 0}})
    with pytest.raises(FlytePathError, match="bad item"):
        map_task(first_fails)(x=list(range(150)))
    assert not vendor.live()


def test_maps_in_workflows_with_values_that_are_the_same_for_all(vendor: FakeVendor) -> None:
    import functools

    both = PythonInstanceTask(
        "remote.both",
        VendorJob(outputs={"rows": {"$input": "x"}, "same": {"$input": "y"}}),
        inputs=kwtypes(x=int, y=str),
        outputs=kwtypes(rows=int, same=str),
    )

    @workflow
    def flow(xs: list[int], y: str) -> tuple[list[int], list[str]]:
        return map_task(functools.partial(both, y=y))(x=xs)

    assert flow(xs=[1, 2], y="a") == ([1, 2], ["a", "a"])
    assert len(vendor.jobs()) == 1


def test_a_map_of_cached_items_asks_only_for_new_ones(vendor: FakeVendor) -> None:
    cached = job("remote.cached_items", cache=True, cache_version="1")
    assert map_task(cached)(x=[1, 2]) == [1, 2]
    assert map_task(cached)(x=[2, 3, 1]) == [2, 3, 1]
    assert sum(max(1, len(made.items)) for made in vendor.jobs()) == 3


# --- where a durable run would wait for somebody -----------------------------------------------------------------


def test_where_nobody_can_know_whether_the_job_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with vendor_installed(tmp_path, monkeypatch, idempotency="C") as (vendor, _):
        vendor.faults.add(FaultKind.RESET_AFTER, "submit", times=1)
        with pytest.raises(FlytePathError, match="may have been submitted or not") as caught:
            job(seconds=None, retries=3)(x=1)
        assert caught.value.code == "FP-JOB-AMBIGUOUS"
        assert "idempotent=True" in str(caught.value.hint)
        assert not vendor.live()


def test_a_vendor_that_cannot_be_asked_holds_no_call_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flytepath.plugin import InProgress
    from flytepath.testing.reference_backend import VendorBackend

    async def cannot_tell(*_: Any) -> InProgress:
        return InProgress("it cannot be searched for")

    monkeypatch.setattr(VendorBackend, "cancel", cannot_tell)
    with vendor_installed(tmp_path, monkeypatch, idempotency="C") as (vendor, _):
        vendor.faults.add(FaultKind.RESET_AFTER, "submit", times=1)
        with pytest.raises(FlytePathError, match="may have been submitted or not") as caught:
            job(seconds=None)(x=1)
        assert caught.value.code == "FP-JOB-AMBIGUOUS"


def test_outputs_of_another_type_name_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flytepath.testing.reference_backend import VendorBackend

    async def nothing(*_: Any) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(VendorBackend, "collect", nothing)
    with vendor_installed(tmp_path, monkeypatch), pytest.raises(FlytePathError, match="the outputs are none") as caught:
        job()(x=1)
    assert caught.value.code == "FP-JOB-PROTOCOL" and "plugin" in str(caught.value.hint)


def test_a_second_submission_that_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with vendor_installed(tmp_path, monkeypatch, idempotency="C") as (vendor, _):
        vendor.faults.add(FaultKind.RESET_BEFORE, "submit", times=1)
        assert job(idempotent=True)(x=1) == 1
        assert vendor.calls()["submit"] == 2


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flytepath.authoring.direct_jobs.Patience", partial(Patience, pause=0.05, cancel_pause=0.05))


@pytest.mark.usefixtures("short_pauses")
def test_a_vendor_that_is_away_for_a_moment_is_waited_for(vendor: FakeVendor) -> None:
    vendor.faults.add(FaultKind.UNAVAILABLE, times=3)
    assert job()(x=1) == 1


@pytest.mark.usefixtures("short_pauses")
def test_a_vendor_that_stays_away_is_given_up(vendor: FakeVendor, fakes: Distributions) -> None:
    fakes.configure(f'[backends.vendor]\nurl = "{vendor.url}"\n[jobs]\noutage = 0.5\n')
    vendor.faults.add(FaultKind.UNAVAILABLE, "list")
    with pytest.raises(FlytePathError) as caught:
        job(seconds=None)(x=1)
    assert caught.value.code == "FP-JOB-UNAVAILABLE"
    assert not vendor.live()


@pytest.mark.parametrize(
    ("text", "match"),
    [("", "url"), ('url = "{url}"\nurll = 1', "urll"), ('url = "{url}"\ntimeout_seconds = "long"', "timeout_seconds")],
)
def test_settings_that_are_wrong_are_told_at_once(
    vendor: FakeVendor, fakes: Distributions, text: str, match: str
) -> None:
    fakes.configure("[backends.vendor]\n" + text.format(url=vendor.url))
    with pytest.raises(FlytePathError, match=match) as caught:
        job(retries=5)(x=1)
    assert caught.value.code == "FP-BACKEND-MISSING"
    assert "wait" not in str(caught.value.hint)
    assert not vendor.journal


def test_settings_that_are_changed_count_from_the_next_call_on(vendor: FakeVendor, fakes: Distributions) -> None:
    shared = job(pools={"matlab": 1})
    with pytest.raises(FlytePathError, match="matlab"):
        shared(x=1)
    vendor.add_account("other")
    table = f'[backends.vendor]\nurl = "{vendor.url}"\naccount = "other"\n'
    fakes.configure(table + "[pools.matlab]\nlimit = 1\n")
    assert shared(x=1) == 1
    assert len(vendor.jobs("other")) == 1


def test_another_configuration_of_the_task_at_a_node(vendor: FakeVendor) -> None:
    plain = job()

    @workflow
    def flow(x: int) -> int:
        return plain(x=x).with_overrides(task_config=VendorJob(outputs={"rows": 42}))

    assert flow(x=1) == 42
    assert plain(x=1) == 1


def test_a_wait_for_tokens_can_be_given_up(vendor: FakeVendor, fakes: Distributions) -> None:
    fakes.configure(f'[backends.vendor]\nurl = "{vendor.url}"\n[pools.matlab]\nlimit = 1\n')
    holder = job(seconds=None, pools={"matlab": 1}, timeout=1.0)
    waiting = job("remote.waiting", pools={"matlab": 1}, timeout=Timeout(max_queued_time=0.2))
    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(holder, x=1)
        while not vendor.live():
            assert not held.done()
        with pytest.raises(TimeoutError, match="for its turn"):
            waiting(x=1)
        assert isinstance(held.exception(60), TimeoutError)
    assert len(vendor.jobs()) == 1
