"""Workflows whose tasks a worker runs elsewhere; copied beside the package ``worker_parts`` that they import."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from flytepath import (
    Deck,
    FlyteDirectory,
    FlyteFile,
    OutputLocation,
    Secret,
    ShellTask,
    StructuredDataset,
    current_context,
    dynamic,
    eager,
    kwtypes,
    map_task,
    reference_task,
    task,
    workflow,
)
from worker_checks import AtMost
from worker_parts import table, times


@dataclass
class Point:
    x: int
    y: float


class Odd:
    """Nothing that a type is known for."""

    def __init__(self, value: int) -> None:
        self.value = value


def mark(what: str) -> None:
    """Leave word that something ran, for the test to count."""
    with (Path(os.environ["WORKER_MARKS"]) / "ran").open("a") as file:
        file.write(f"{what}\n")


# --- values ------------------------------------------------------------------------------------------------------


@task(environment={"FACTOR": "3"})
def scaled(x: int) -> int:
    return times(x, int(os.environ["FACTOR"]))


@task
def where(x: int) -> list[str]:
    context = current_context()
    return [str(os.getpid()), context.execution_id.name, context.node_path, str(context.code_path)]


@task(backend="local")
def here_is(x: int) -> int:
    return os.getpid()


@task
def file_of(text: str) -> FlyteFile:
    path = Path(current_context().working_directory) / "a.txt"
    path.write_text(text)
    return FlyteFile(path)


@task(backend="local")
def read_here(file: FlyteFile) -> str:
    return Path(file).read_text()


@task
def read_there(file: FlyteFile, point: Point) -> Point:
    return Point(len(Path(file).read_text()), point.y / 2)


@task
def folder_of(names: list[str]) -> FlyteDirectory:
    folder = Path(current_context().working_directory) / "many"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name.upper())
    return FlyteDirectory(str(folder))


@task
def names_in(folder: FlyteDirectory) -> list[str]:
    root = Path(folder)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@task
def frame_of(n: int) -> StructuredDataset:
    import pandas as pd  # the workers of all other tasks start sooner without it

    return StructuredDataset(pd.DataFrame({"n": list(range(n))}))


@task
def total(frame: StructuredDataset) -> int:
    import pandas as pd

    return int(frame.open(pd.DataFrame).all()["n"].sum())


@task
def large(n: int) -> list[int]:
    return list(range(n))


@task
def odd_of(x: int) -> Odd:
    return Odd(x)


@task
def value_of(odd: Odd) -> int:
    return odd.value


@task
def from_table(key: str) -> str:
    return table()[key]


shell = ShellTask(
    name="shell",
    script='echo "$GREETING {inputs.name}" > {outputs.said}; echo printed',
    inputs=kwtypes(name=str),
    output_locs=[OutputLocation(var="said", var_type=FlyteFile, location="{inputs.name}.txt")],
    environment={"GREETING": "hello"},
)


@workflow
def chain(x: int) -> int:
    return scaled(x=scaled(x=x))


@workflow
def told(x: int) -> tuple[list[str], int]:
    return where(x=x), here_is(x=x)


@workflow
def files(text: str) -> tuple[str, Point]:
    made = file_of(text=text)
    return read_here(file=made), read_there(file=made, point=Point(1, 5.0))


@workflow
def folders(names: list[str]) -> list[str]:
    return names_in(folder=folder_of(names=names))


@workflow
def frames(n: int) -> int:
    return total(frame=frame_of(n=n))


@workflow
def larger(n: int) -> list[int]:
    return large(n=n)


@workflow
def pickled(x: int) -> int:
    return value_of(odd=odd_of(x=x))


@workflow
def looked_up(key: str) -> str:
    return from_table(key=key)


@workflow
def shelled(name: str) -> str:
    return read_here(file=shell(name=name))


# --- failures ----------------------------------------------------------------------------------------------------


@task
def broken(x: int) -> int:
    print("about to break")
    raise ValueError(f"no {x} today")


@task(enable_deck=True)
def decked(x: int) -> int:
    Deck("report", f"<p>seen {x}</p>")
    if x < 0:
        raise ValueError("negative")
    return x


@task(retries=1)
def once_more(x: int) -> int:
    if current_context().attempt == 1:
        raise ValueError("not yet")
    return x


@task(retries=1)
def goes_on(x: int) -> int:
    checkpoint = current_context().checkpoint
    found = checkpoint.load()
    if found is None:
        checkpoint.save({"step": 7}, step=7)
        raise ValueError("broke at 7")
    return found["step"]


@task
def killed(x: int) -> int:
    mark("killed")
    os.kill(os.getpid(), signal.SIGKILL)
    return x


@task
def leaves(x: int) -> int:
    mark("left")
    if current_context().attempt <= x:
        os._exit(0)
    return x


@task
def exits(x: int) -> int:
    raise SystemExit(x)


@task
def forks(x: int) -> int:
    child = os.fork()
    if child == 0:
        return -1
    os.waitpid(child, 0)
    return x


@task
def lingers(x: int) -> int:
    threading.Thread(target=threading.Event().wait, name="for ever").start()
    return x


@task(secret_requests=[Secret("db", "password")], enable_deck=True)
def tells(x: int) -> int:
    password = current_context().secrets.get("db", "password")
    print("the password is", password)
    os.system(f"echo and again {password}")
    Deck("secret", f"<p>{password}</p>")
    raise ValueError(f"refused: {password}")


@task
def checked(x: Annotated[int, AtMost(10)]) -> Annotated[int, AtMost(20)]:
    return x * 3


@task
def odd_only(x: int) -> int:
    if x % 2 == 0:
        raise ValueError(f"{x} is even")
    return x * 10


@task(retries=1)
def second_time(x: int) -> int:
    if x % 2 == 0 and current_context().attempt == 1:
        raise ValueError("not yet")
    return x


@task
def sleeps(seconds: float) -> float:
    mark(f"pid {os.getpid()}")
    time.sleep(seconds)
    return seconds


@task(interruptible=True, retries=2)
def saves(x: int) -> int:
    checkpoint = current_context().checkpoint
    found = checkpoint.load()
    if found is not None:
        return found["at"] + x
    checkpoint.save({"at": 40}, step=40)
    mark(f"pid {os.getpid()}")
    time.sleep(600)
    return -1


@task(cache=True, cache_version="1")
def known(x: int) -> int:
    mark("known")
    return x + 1


@task
def gone_when_imported_again(x: int) -> int:
    return x


@task
def names_badly(x: int) -> int:
    raise ValueError(os.fsdecode(b"/nowhere/\xff.txt"))


@task
def resumes(x: int) -> int:
    checkpoint = current_context().checkpoint
    found = checkpoint.load()
    if found is None:
        checkpoint.save({"at": x}, step=1)
        raise ValueError("broke")
    return found["at"] + 1


@task
def variable(name: str) -> str:
    return os.environ.get(name, "")


@task(secret_requests=[Secret("db", "password", mount_requirement=Secret.MountType.ENV_VAR)])
def has_secret(x: int) -> bool:
    return any("swordfish" in value for value in os.environ.values())


@task
def unserializable(x: int) -> float:
    return "no number"  # type: ignore[return-value]


@workflow
def naming_badly(x: int) -> int:
    return names_badly(x=x)


@workflow
def resuming(x: int) -> int:
    return resumes(x=scaled(x=x))


@workflow
def having(name: str) -> str:
    return variable(name=name)


@workflow
def secretive(x: int) -> bool:
    return has_secret(x=x)


@workflow
def giving_wrong(x: int) -> float:
    return unserializable(x=x)


@workflow
def breaking(x: int) -> int:
    return broken(x=x)


@workflow
def decking(x: int) -> int:
    return decked(x=x)


@workflow
def again(x: int) -> int:
    return once_more(x=x)


@workflow
def going_on(x: int) -> int:
    return goes_on(x=x)


@workflow
def dying(x: int) -> int:
    return killed(x=x)


@workflow
def leaving(x: int) -> int:
    return leaves(x=x)


@workflow
def exiting(x: int) -> int:
    return exits(x=x)


@workflow
def forking(x: int) -> int:
    return forks(x=x)


@workflow
def lingering(x: int) -> int:
    return lingers(x=x)


@workflow
def telling(x: int) -> int:
    return tells(x=x)


@workflow
def checking(x: int) -> int:
    return checked(x=x)


@workflow
def over(xs: list[int]) -> list[int]:
    return map_task(scaled)(x=xs)


@workflow
def over_odd(xs: list[int]) -> list[int | None]:
    return map_task(odd_only, min_success_ratio=0.5)(x=xs)


@workflow
def over_twice(xs: list[int]) -> list[int]:
    return map_task(second_time)(x=xs)


@workflow
def over_lost(xs: list[int]) -> list[int]:
    return map_task(leaves)(x=xs)


@workflow
def over_sleeping(xs: list[float]) -> list[float]:
    return map_task(sleeps)(seconds=xs)


@dynamic
def grown(n: int) -> list[int]:
    return [scaled(x=x) for x in range(n)]


@workflow
def growing(n: int) -> list[int]:
    return grown(n=n)


@eager
async def eagerly(x: int) -> int:
    return scaled(x=x) + 1


@workflow
def here(x: int) -> list[str]:
    return where(x=x).with_overrides(backend="local")


@workflow
def there(x: int) -> int:
    return here_is(x=x).with_overrides(backend="process")


@workflow
def limited(seconds: float) -> float:
    return sleeps(seconds=seconds).with_overrides(timeout=2)


@workflow
def sleeping(seconds: float) -> float:
    return sleeps(seconds=seconds)


@workflow
def saving(x: int) -> int:
    return saves(x=x)


@workflow
def knowing(x: int) -> int:
    return known(x=x)


@reference_task(project="default", domain="development", name="worker_other.doubled", version="v1")
def doubled(x: int) -> int: ...


@workflow
def referring(x: int) -> int:
    return scaled(x=doubled(x=x))
