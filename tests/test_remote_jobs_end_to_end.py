"""Remote jobs through an engine: the reference plugin on the fake vendor, single and as arrays, and what goes wrong."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath import FlytePath
from flytepath.testing.fake_vendor import TOKEN, FakeVendor, FaultKind

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "core" / "tests" / "plugin"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "core" / "tests" / "authoring"))

from fake_distributions import Distributions
from remote_vendor import vendor_installed

#: Far more than any of this takes; reaching it is a failure.
DEADLINE = 90.0

FLOW = """
    from __future__ import annotations

    from flytepath import PythonInstanceTask, Retry, conditional, dynamic, eager, kwtypes, map_task, task, workflow
    from flytepath.testing.reference_task import VendorJob


    def job(name: str, **config):
        settings = {key: config.pop(key) for key in list(config) if key not in VendorJob.__dataclass_fields__}
        config.setdefault("outputs", {"rows": {"$input": "x"}})
        return PythonInstanceTask(
            f"remote_flow.{name}", VendorJob(**config), inputs=kwtypes(x=int), outputs=kwtypes(rows=int), **settings
        )


    BAD = {"outcome": "ERRORED", "message": "bad item"}
    plain = job("plain", seconds=0.05)
    failing = job("failing", outcome="ERRORED", exit_code=3, message="no such table", retries=2)
    endless = job("endless", seconds=None)
    limited = job("limited", seconds=0.1, pools={"matlab": 1})
    one_bad = job("one_bad", seconds=0.05, items={1: BAD})
    one_bad_retried = job("one_bad_retried", seconds=0.05, items={1: BAD}, retries=1)
    taken_away = job("taken_away", seconds=0.05, items={2: {"outcome": "EVICTED"}}, retries=Retry(0, system=2))
    one_bad_rest_endless = job("one_bad_rest_endless", seconds=None, items={0: {**BAD, "seconds": 0}})
    large = PythonInstanceTask(
        "remote_flow.large",
        VendorJob(outputs={"all": list(range(20_000))}),
        inputs=kwtypes(x=int),
        outputs=kwtypes(all=list[int]),
    )
    one_wrong = job("one_wrong", seconds=0.05, items={1: {"outputs": {"rows": "many"}}})
    one_without = job("one_without", seconds=0.05, items={1: {"outputs": {}}})
    all_wrong = job("all_wrong", seconds=0.05, outputs={"rows": "many"})
    cached = job("cached", seconds=0.05, cache=True, cache_version="1")


    @workflow
    def chain(x: int) -> int:
        return plain(x=plain(x=x))

    @workflow
    def once(x: int) -> int:
        return cached(x=x)

    @workflow
    def choice(x: int) -> int:
        return conditional("which").if_(x > 0).then(plain(x=x)).else_().then(failing(x=x))

    @workflow
    def over(xs: list[int]) -> list[int]:
        return map_task(plain)(x=xs)

    @workflow
    def over_two_at_a_time(xs: list[int]) -> list[int]:
        return map_task(plain, concurrency=2)(x=xs)

    @workflow
    def over_one_bad(xs: list[int]) -> list[int]:
        return map_task(one_bad)(x=xs)

    @workflow
    def over_one_bad_borne(xs: list[int]) -> list[int | None]:
        return map_task(one_bad, min_success_ratio=0.7)(x=xs)

    @workflow
    def over_one_bad_retried(xs: list[int]) -> list[int]:
        return map_task(one_bad_retried)(x=xs)

    @workflow
    def over_taken_away(xs: list[int]) -> list[int]:
        return map_task(taken_away)(x=xs)

    @workflow
    def over_one_wrong(xs: list[int]) -> list[int | None]:
        return map_task(one_wrong, min_success_ratio=0.7)(x=xs)

    @workflow
    def over_one_without(xs: list[int]) -> list[int | None]:
        return map_task(one_without, min_success_ratio=0.7)(x=xs)

    @workflow
    def wrong(x: int) -> int:
        return all_wrong(x=x)

    @workflow
    def over_endless(xs: list[int]) -> list[int]:
        return map_task(endless)(x=xs)

    @workflow
    def over_hopeless(xs: list[int]) -> list[int]:
        return map_task(one_bad_rest_endless)(x=xs)

    @workflow
    def over_large(xs: list[int]) -> list[list[int]]:
        return map_task(large)(x=xs)

    @workflow
    def over_limited(xs: list[int]) -> list[int]:
        return map_task(limited)(x=xs)

    @workflow
    def over_cached(xs: list[int]) -> list[int]:
        return map_task(cached)(x=xs)

    @task
    def calls_one(x: int) -> int:
        return plain(x=x)

    @eager
    async def eagerly(x: int) -> int:
        return plain(x=plain(x=x))

    @dynamic
    def grown(n: int) -> list[int]:
        return [plain(x=x) for x in range(n)]

    @workflow
    def growing(n: int) -> list[int]:
        return grown(n=n)
"""


class Platform:
    """A platform of this process, the vendor its jobs run at, and the flows."""

    def __init__(self, api: FlytePath, vendor: FakeVendor, flows: Any, work: Path) -> None:
        self.api, self.vendor, self.flows, self.work = api, vendor, flows, work

    def run(self, name: str, **inputs: Any) -> Any:
        """The execution of a flow, when it has ended."""
        begun = self.begin(name, **inputs)
        return self.api.wait(begun, DEADLINE)

    def begin(self, name: str, **inputs: Any) -> Any:
        return self.api.execute(getattr(self.flows, name), inputs)

    @property
    def slices(self) -> list[int]:
        """Sizes of the jobs, the largest first: slices are submitted side by side."""
        return sorted((len(made.items) for made in self.vendor.jobs()), reverse=True)


def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def array() -> int:
    return 100


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, array: int) -> Iterator[Platform]:
    with vendor_installed(tmp_path, monkeypatch, array=array) as (vendor, fakes):
        fakes.configure(
            f'[backends.vendor]\nurl = "{vendor.url}"\n[pools.matlab]\nlimit = 1\n[pools."vendor/main"]\nlimit = 500\n'
        )
        (fakes.work / "remote_flow.py").write_text(textwrap.dedent(FLOW))
        monkeypatch.syspath_prepend(str(fakes.work))
        monkeypatch.delitem(sys.modules, "remote_flow", raising=False)
        flows = importlib.import_module("remote_flow")
        try:
            with FlytePath(home=fakes.home) as api:
                yield Platform(api, vendor, flows, fakes.work)
        finally:
            monkeypatch.delitem(sys.modules, "remote_flow", raising=False)
        assert not vendor.violations
        assert not vendor.live()


# --- one by one --------------------------------------------------------------------------------------------------


def test_jobs_follow_each_other(platform: Platform) -> None:
    assert platform.run("chain", x=7).outputs == {"o0": 7}
    assert len(platform.vendor.jobs()) == 2


def test_a_failure_is_retried_and_told_in_the_vendors_words(platform: Platform) -> None:
    ended = platform.run("choice", x=-1)
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error.code == "FP-JOB-FAILED"
    assert "no such table" in ended.error.message
    assert ended.error.actual == "exit code 3"
    assert len(platform.vendor.jobs()) == 3


def test_only_the_case_that_is_chosen_becomes_a_job(platform: Platform) -> None:
    assert platform.run("choice", x=4).outputs == {"o0": 4}
    assert len(platform.vendor.jobs()) == 1


def test_dynamic_tasks_make_jobs(platform: Platform) -> None:
    assert platform.run("growing", n=4).outputs == {"o0": [0, 1, 2, 3]}


def test_eager_tasks_call_jobs(platform: Platform) -> None:
    assert platform.run("eagerly", x=4).outputs == {"o0": 4}
    assert len(platform.vendor.jobs()) == 2


def test_the_body_of_a_task_cannot_start_a_job_that_nobody_could_cancel(platform: Platform) -> None:
    ended = platform.run("calls_one", x=4)
    assert ended.error is not None
    assert "called by the body of another task" in ended.error.message
    assert "@eager" in str(ended.error.hint)
    assert not platform.vendor.jobs()
    assert platform.flows.calls_one(x=4) == 4


def test_a_submission_that_was_cut_off_is_adopted(platform: Platform) -> None:
    platform.vendor.faults.add(FaultKind.RESET_AFTER, "submit", times=1)
    assert platform.run("chain", x=7).outputs == {"o0": 7}
    assert len(platform.vendor.jobs()) == 2


def test_direct_calls_and_runs_give_the_same(platform: Platform) -> None:
    for name, inputs in (
        ("chain", {"x": 3}),
        ("over", {"xs": [1, 2, 3]}),
        ("over_one_bad_borne", {"xs": [1, 2, 3, 4]}),
        ("over_large", {"xs": [1, 2]}),
    ):
        ended = platform.run(name, **inputs)
        assert ended.outputs == {"o0": getattr(platform.flows, name)(**inputs)}, name


# --- arrays ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "slices"), [(0, []), (1, [1]), (3, [3]), (250, [100, 100, 50])])
def test_a_map_goes_in_slices(platform: Platform, count: int, slices: list[int]) -> None:
    assert platform.run("over", xs=list(range(count))).outputs == {"o0": list(range(count))}
    assert platform.slices == slices


@pytest.mark.parametrize("array", [0])
def test_a_map_where_there_are_no_array_jobs(platform: Platform) -> None:
    assert platform.run("over", xs=list(range(12))).outputs == {"o0": list(range(12))}
    assert platform.slices == [0] * 12


@pytest.mark.parametrize("array", [1])
def test_slices_of_one(platform: Platform) -> None:
    assert platform.run("over", xs=list(range(5))).outputs == {"o0": list(range(5))}
    assert platform.slices == [1] * 5


def test_no_more_items_at_once_than_the_map_allows(platform: Platform) -> None:
    assert platform.run("over_two_at_a_time", xs=list(range(7))).outputs == {"o0": list(range(7))}
    assert sum(platform.slices) == 7
    assert max(platform.slices) <= 2


def test_an_item_that_fails_for_good_fails_the_map(platform: Platform) -> None:
    ended = platform.run("over_one_bad", xs=[5, 6, 7, 8])
    assert ended.status == "failed"
    assert ended.error is not None
    assert "bad item" in ended.error.message


def test_a_map_that_bears_failures(platform: Platform) -> None:
    assert platform.run("over_one_bad_borne", xs=[5, 6, 7, 8]).outputs == {"o0": [5, None, 7, 8]}


def test_items_that_fail_are_tried_again_as_a_slice_of_their_own(platform: Platform) -> None:
    ended = platform.run("over_one_bad_retried", xs=[5, 6, 7, 8])
    assert ended.status == "failed"
    assert platform.slices == [4, 1]


def test_items_that_are_taken_away_are_tried_again_on_the_systems_budget(platform: Platform) -> None:
    ended = platform.run("over_taken_away", xs=[5, 6, 7, 8])
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error.code == "FP-JOB-PREEMPTED"
    assert platform.slices == [4, 1, 1]


def test_an_item_that_recovers_is_put_in_its_place(platform: Platform) -> None:
    begun = platform.begin("over_endless", xs=[5, 6, 7])
    until(lambda: platform.vendor.live() == 1)
    first = platform.vendor.jobs()[0]
    with platform.vendor._service.lock:
        first.items[1].end(platform.vendor.now(), "EVICTED")
        platform.vendor.account().changed(first)
    until(lambda: platform.slices == [3, 1])
    for made in platform.vendor.jobs():
        platform.vendor.finish(made.id)
    assert platform.api.wait(begun, DEADLINE).outputs == {"o0": [5, 6, 7]}


def test_a_map_that_cannot_succeed_any_more_cancels_its_slices(platform: Platform) -> None:
    ended = platform.run("over_hopeless", xs=list(range(150)))
    assert ended.status == "failed"
    assert not platform.vendor.live()


def test_an_abort_in_the_middle_leaves_nothing_at_the_vendor(platform: Platform) -> None:
    begun = platform.begin("over_endless", xs=list(range(150)))
    until(lambda: platform.vendor.live() == 2)
    platform.api.abort(begun, "enough")
    assert platform.api.wait(begun, DEADLINE).status == "aborted"
    assert not platform.vendor.live()


def test_large_outputs_of_items(platform: Platform) -> None:
    found = platform.run("over_large", xs=[1, 2, 3]).outputs["o0"]
    assert found == [list(range(20_000))] * 3


@pytest.mark.parametrize("flow", ["over_one_wrong", "over_one_without"])
def test_an_item_whose_outputs_cannot_be_had_spoils_no_other(platform: Platform, flow: str) -> None:
    ended = platform.run(flow, xs=[5, 6, 7, 8])
    assert ended.status == "succeeded", ended.error
    assert ended.outputs == {"o0": [5, None, 7, 8]}
    assert getattr(platform.flows, flow)(xs=[5, 6, 7, 8]) == [5, None, 7, 8]


def test_an_output_of_another_type_than_declared_fails_its_task(platform: Platform) -> None:
    ended = platform.run("wrong", x=1)
    assert ended.status == "failed"
    assert ended.error is not None
    assert "rows" in ended.error.message


def test_results_that_come_late_are_waited_for(platform: Platform) -> None:
    platform.vendor.faults.add(FaultKind.NO_RESULT_YET, times=2)
    assert platform.run("over", xs=[1, 2]).outputs == {"o0": [1, 2]}


def test_slices_wait_for_the_pools_of_their_task(platform: Platform) -> None:
    assert platform.run("over_limited", xs=list(range(150))).outputs == {"o0": list(range(150))}
    assert platform.vendor.account().most_live == 1


def test_what_is_known_is_not_asked_for_again(platform: Platform) -> None:
    assert platform.run("once", x=1).outputs == {"o0": 1}
    assert platform.run("once", x=1).outputs == {"o0": 1}
    assert len(platform.vendor.jobs()) == 1


def test_items_that_are_known_are_not_asked_for_again(platform: Platform) -> None:
    assert platform.run("over_cached", xs=[1, 2]).outputs == {"o0": [1, 2]}
    assert platform.run("over_cached", xs=[2, 3, 1]).outputs == {"o0": [2, 3, 1]}
    assert sum(max(1, size) for size in platform.slices) == 3


def test_equal_calls_that_are_known_share_one_job(platform: Platform) -> None:
    assert platform.run("over_cached", xs=[1, 1, 1, 2]).outputs == {"o0": [1, 1, 1, 2]}
    assert sum(max(1, size) for size in platform.slices) == 2


# --- processes that end ------------------------------------------------------------------------------------------


class Commands:
    """The command line, in processes of its own, before a vendor."""

    def __init__(self, vendor: FakeVendor, fakes: Distributions) -> None:
        self.vendor, self._fakes = vendor, fakes
        (fakes.work / "remote_flow.py").write_text(textwrap.dedent(FLOW))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        program = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"  # also in the background
            f"from flytepath.cli import main; sys.argv = {['flytepath', *arguments]!r}; main()"
        )
        return subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=self._fakes.work,
            env=self._fakes.environment(FLYTEPATH_SECRET_VENDOR_TOKEN=TOKEN),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, status: int = 0) -> str:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
        assert process.returncode == status, out + err
        return out + err

    def latest(self) -> str:
        found: str = json.loads(self.run("executions", "list", "--json"))[0]["id"]
        return found


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Commands]:
    with vendor_installed(tmp_path, monkeypatch, array=2) as (vendor, fakes):
        yield Commands(vendor, fakes)
        assert not vendor.violations
        assert not vendor.live()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_map_whose_engine_ends_is_gone_on_with_by_another(commands: Commands, how: signal.Signals) -> None:
    vendor = commands.vendor
    process = commands.start("run", "remote_flow.py", "over_endless", "--xs", "[5, 6, 7]")
    until(lambda: vendor.live() == 2)
    process.send_signal(how)
    process.communicate(timeout=DEADLINE)
    assert vendor.live() == 2
    for made in vendor.jobs():
        vendor.finish(made.id)
    assert "o0 = [5, 6, 7]" in commands.run("executions", "resume", commands.latest())
    assert sorted(len(made.items) for made in vendor.jobs()) == [1, 2]


def test_an_abort_ends_the_jobs_of_a_run_that_nobody_drives(commands: Commands) -> None:
    vendor = commands.vendor
    process = commands.start("run", "remote_flow.py", "over_endless", "--xs", "[5, 6, 7]")
    until(lambda: vendor.live() == 2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE)
    assert vendor.live() == 2
    commands.run("executions", "abort", commands.latest())
    assert not vendor.live()


def test_what_no_backend_can_run_is_said_before_anything_is_recorded(commands: Commands, tmp_path: Path) -> None:
    flow = "\nfrom flytepath import task\n\n@task(task_config=VendorJob())\ndef body(x: int) -> int:\n    return x\n"
    path = tmp_path / "work" / "remote_flow.py"
    path.write_text(path.read_text() + flow)
    told = commands.run("run", "remote_flow.py", "body", "--x", "1", status=2)
    assert "FP-REMOTE-BODY" in told
    assert "hint:" in told
    assert json.loads(commands.run("executions", "list", "--json")) == []
