"""How often something may be called: a pure bucket, and the same in a database that engines share."""

from __future__ import annotations

from pathlib import Path

import pytest
from flytepath.store.events import open_store
from flytepath.store.rates import Bucket, RateBuckets
from hypothesis import given
from hypothesis import strategies as st


@given(
    per_second=st.floats(0.1, 100),
    burst=st.integers(1, 20),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 5)), min_size=1, max_size=60),
)
def test_in_no_time_more_calls_are_made_than_burst_and_rate_allow(
    per_second: float, burst: int, steps: list[tuple[float, int]]
) -> None:
    bucket, now = Bucket(), 1000.0
    calls: list[tuple[float, int]] = []
    for pause, count in steps:
        now += pause
        bucket, wait = bucket.take(now, per_second=per_second, burst=burst, count=count)
        calls.append((now + wait, count))
    assert calls == sorted(calls, key=lambda call: call[0]), "who asks first calls first"
    for first in range(len(calls)):
        made = 0
        for at, count in calls[first:]:
            made += count
            most = max(burst, calls[first][1]) + per_second * (at - calls[first][0])
            assert made <= most + 1e-6 * made * max(1.0, per_second)


@given(per_second=st.floats(0.1, 100), burst=st.integers(1, 20), seconds=st.floats(0, 1e5))
def test_a_bucket_that_rested_is_full_and_no_fuller(per_second: float, burst: int, seconds: float) -> None:
    bucket, _ = Bucket().take(0.0, per_second=per_second, burst=burst, count=burst)
    now = burst / per_second + seconds
    waits: list[float] = []
    for _ in range(burst + 1):
        bucket, wait = bucket.take(now, per_second=per_second, burst=burst)
        waits.append(wait)
    assert waits[:-1] == pytest.approx([0.0] * burst, abs=1e-6)
    assert waits[-1] == pytest.approx(1 / per_second, abs=1e-6)


def test_after_a_rest_that_was_asked_for_calls_come_one_by_one() -> None:
    bucket = Bucket().hold(100.0, 30.0).hold(100.0, 5.0)
    waits = []
    for _ in range(3):
        bucket, wait = bucket.take(110.0, per_second=2.0, burst=10)
        waits.append(wait)
    assert waits == pytest.approx([20.0, 20.5, 21.0])


def test_a_clock_that_is_set_back_prolongs_nothing() -> None:
    bucket, _ = Bucket().hold(10_000.0, 30.0).take(10_000.0, per_second=1.0, burst=1)
    bucket, wait = bucket.take(400.0, per_second=1.0, burst=1)
    assert wait == pytest.approx(31.0)
    assert bucket.hold(10.0, 1.0).take(10.0, per_second=1.0, burst=1)[1] == pytest.approx(32.0)


def test_engines_share_a_bucket(tmp_path: Path, url: str | None) -> None:
    with open_store(tmp_path, url=url) as first, open_store(tmp_path, url=url) as second:
        one, two = (RateBuckets(store.database, lambda: 1000.0) for store in (first, second))
        waits = [each.take("vendor", per_second=0.01, burst=2).result() for each in (one, two, one, two)]
        assert waits == pytest.approx([0.0, 0.0, 100.0, 200.0], abs=1.0)
        assert two.take("other", per_second=0.01, burst=2).result() == 0.0
        assert one.held_for("vendor") == one.held_for("unknown") == 0.0
        one.hold("other", 50.0).result()
        assert two.held_for("other") == pytest.approx(50.0, abs=1.0)
        assert two.take("other", per_second=10, burst=2).result() == pytest.approx(100.0, abs=60.0)
