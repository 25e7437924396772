"""Sensors: they look until it is so, and not for ever."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from pathlib import Path
from typing import Any

import fsspec
import pytest
from flytepath import task, workflow
from flytepath.authoring.kinds.sensors import BaseSensor, FileSensor, SensorTimeoutError
from flytepath.errors import DefinitionError, InputError, MissingAnnotationError, TypeTransformerFailedError
from flytepath.types.transfers import FileAccessError


class Looks(BaseSensor):
    """True at the look whose number is ``needed``."""

    def __init__(self, name: str = "looks", **kwargs: Any) -> None:
        self.looks = 0
        super().__init__(name=name, **{"poll_interval": 0.001, **kwargs})

    async def poke(self, needed: int, step: int = 1) -> bool:
        self.looks += step
        return self.looks >= needed


def test_it_looks_until_it_is_so() -> None:
    sensor = Looks()
    assert sensor(needed=4) is None
    assert sensor.looks == 4
    assert sensor.inputs == {"needed": int, "step": int}
    assert sensor.outputs == {}
    with pytest.raises(InputError):
        sensor(wrong=1)
    with pytest.raises(TypeTransformerFailedError):
        sensor(needed="4")


def test_it_works_inside_a_running_loop() -> None:
    sensor = Looks()

    async def outer() -> None:
        sensor(needed=3)

    asyncio.run(outer())
    assert sensor.looks == 3


def test_what_comes_after_it_waits_for_it(tmp_path: Path) -> None:
    sensor, seen = FileSensor(name="arrived", poll_interval=0.01), []

    @task
    def after() -> str:
        seen.append(path.exists())
        return "after"

    @workflow
    def waiting(path: str) -> str:
        last = after()
        sensor(path=path) >> last
        return last

    path = tmp_path / "file"
    threading.Timer(0.1, path.touch).start()
    assert waiting(path=str(path)) == "after"
    assert seen == [True]


def test_the_time_is_limited_also_for_one_look() -> None:
    with pytest.raises(SensorTimeoutError, match=r"did not come within 0\.05 s") as caught:
        Looks(timeout=dt.timedelta(milliseconds=50))(needed=10**9)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.place == "looks"

    class Hangs(BaseSensor):
        async def poke(self) -> bool:
            await asyncio.Event().wait()
            return True

    with pytest.raises(SensorTimeoutError):
        Hangs(name="hangs", timeout=0.05)()


def test_there_is_a_last_look_when_the_time_is_over() -> None:
    sensor = Looks(timeout=0.2, poll_interval=1000.0, max_poll_interval=1000.0)
    sensor(needed=2)
    assert sensor.looks == 2


def test_errors_of_poke_come_out_as_they_are() -> None:
    class Broken(BaseSensor):
        async def poke(self) -> bool:
            raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own") as caught:
        Broken(name="broken", timeout=100)()
    assert not isinstance(caught.value, SensorTimeoutError)

    class Odd(BaseSensor):
        async def poke(self) -> bool:
            return 1  # type: ignore[return-value]

    with pytest.raises(TypeTransformerFailedError, match="whether to go on waiting"):
        Odd(name="odd")()


def test_poke_may_be_a_plain_method_and_read_its_configuration() -> None:
    class Plain(BaseSensor):
        def poke(self, word: str) -> bool:  # type: ignore[override]
            return bool(word == self.sensor_config)

    Plain(name="plain", sensor_config="now")(word="now")


def test_sensors_that_cannot_work() -> None:
    with pytest.raises(DefinitionError, match="does not say what it waits for"):
        BaseSensor(name="base")

    class Untyped(BaseSensor):
        async def poke(self, x) -> bool:  # type: ignore[no-untyped-def]
            return True

    with pytest.raises(MissingAnnotationError, match="input 'x'"):
        Untyped(name="untyped")

    class Starred(BaseSensor):
        async def poke(self, *paths: str) -> bool:
            return True

    with pytest.raises(DefinitionError, match="cannot take"):
        Starred(name="starred")
    for wrong in ({"poll_interval": 0}, {"max_poll_interval": -1}, {"poll_interval": True}, {"timeout": -1}):
        with pytest.raises(DefinitionError):
            Looks(**wrong)


def test_files_near_and_far(tmp_path: Path) -> None:
    sensor = FileSensor(name="files", timeout=60)
    sensor(path=str(tmp_path))
    sensor(path=tmp_path.as_uri())
    with fsspec.open("memory://sensors/flag", "w") as file:
        file.write("x")
    sensor(path="memory://sensors/flag")
    sensor(path="memory://sensors")
    impatient = FileSensor(name="impatient", timeout=0.01, poll_interval=0.001)
    with pytest.raises(SensorTimeoutError):
        impatient(path="memory://sensors/absent")
    with pytest.raises(SensorTimeoutError):
        impatient(path=str(tmp_path / "absent"))
    with pytest.raises(FileAccessError):
        sensor(path="nobodys-scheme://x/y")
