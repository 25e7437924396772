"""Requirements are read right by many threads at once, also while Python code runs in the garbage collector's calls."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flytepath.plugin.requirements import parse_requirement

TEXT = "spark[sql] ~= 1.2 ; extra == 'test-full' and python_version < '3.99'"


@pytest.fixture
def busy_collector() -> Iterator[None]:
    """Lets threads take turns in the middle of what allocates objects, as finalizers and callbacks of libraries do."""

    def called(*_: Any) -> None:
        sum(range(200))

    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    gc.callbacks.append(called)
    gc.set_threshold(20)
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)
    gc.callbacks.remove(called)


def test_threads_that_read_at_once_read_what_one_reads(busy_collector: None) -> None:
    expected, read, failures = str(parse_requirement(TEXT)), set[str](), list[SystemError]()

    def reading() -> None:
        try:
            for _ in range(1500):
                read.add(str(parse_requirement(TEXT)))
        except SystemError as error:
            failures.append(error)

    threads = [threading.Thread(target=reading) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert read == {expected}
