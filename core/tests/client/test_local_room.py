"""Real workers on this machine get what their tasks request, one after the other where there is not more."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from flytepath import FlytePath

SOURCE = """
    import os, pathlib, time
    from flytepath import Resources, task, workflow

    @task(requests=Resources(gpu="1"))
    def on_gpu(folder: str, x: int) -> str:
        mine = pathlib.Path(folder) / os.environ["CUDA_VISIBLE_DEVICES"]
        mine.mkdir()
        time.sleep(0.05)
        mine.rmdir()
        return os.environ["CUDA_VISIBLE_DEVICES"]

    @task(requests=Resources(cpu="10000", mem="100Ti"))
    def huge() -> str:
        return os.environ["CUDA_VISIBLE_DEVICES"]

    @workflow
    def wf(folder: str) -> tuple[str, str, str, str, str]:
        a, b, c, d = (on_gpu(folder=folder, x=x) for x in range(4))
        return a, b, c, d, huge()
"""


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[ModuleType]:
    folder = tmp_path / "flows"
    folder.mkdir()
    (folder / "room_flow.py").write_text(textwrap.dedent(SOURCE))
    sys.path.insert(0, str(folder))
    import room_flow  # type: ignore[import-not-found]

    yield room_flow
    sys.path.remove(str(folder))
    del sys.modules["room_flow"]


def test_each_gpu_is_given_to_one_attempt_at_a_time(
    tmp_path: Path, flow: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where two had one device, its folder would be there already."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-8f3a")
    busy = tmp_path / "busy"
    busy.mkdir()
    with FlytePath(home=tmp_path / "home", slots=4) as platform:
        done = platform.execute(flow.wf, {"folder": str(busy)}, wait=True)
        assert done.error is None
        *devices, huge = done.outputs.values()
    assert set(devices) == {"3", "GPU-8f3a"}
    assert huge == "3,GPU-8f3a"
