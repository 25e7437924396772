"""Room on this machine: what runs at once fits into it, and whoever waits for room is served in fair order."""

from __future__ import annotations

from pathlib import Path

import pytest
from flytepath.engine.local.machine import LocalAsk, Machine, cores, memory_bytes, visible_gpus
from flytepath.engine.local.room import Room, RoomOfExecution
from flytepath.engine.quota import PASSES
from flytepath.model.identity import Tenant
from hypothesis import given
from hypothesis import strategies as st

GI = 2**30
A, B = Tenant("a"), Tenant("b")


class Clock:
    """Moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A room, and who has got what they waited for."""

    def __init__(self, machine: Machine, **weights: float) -> None:
        self.clock = Clock()
        self.room = Room(machine, weights, clock=self.clock)
        self.ready: list[str] = []

    def ask(self, key: str, tenant: Tenant = A, **wanted: float) -> bool:
        return self.room.ask(key, tenant, LocalAsk(**wanted), lambda: self.ready.append(key))  # type: ignore[arg-type]


def test_an_attempt_that_requests_nothing_is_not_held_up() -> None:
    desk = Desk(Machine(1, GI))
    assert desk.ask("all", cpu=1, memory=GI)
    assert desk.ask("nothing")
    assert desk.room.gpus("nothing") == ()


def test_what_runs_at_once_fits_into_each_resource() -> None:
    desk = Desk(Machine(4, 8 * GI))
    assert desk.ask("a", cpu=1, memory=6 * GI)
    assert not desk.ask("b", cpu=1, memory=3 * GI)
    assert desk.ask("c", cpu=3)
    assert not desk.ask("d", cpu=0.5)
    assert desk.room.free() == LocalAsk(0.0, 2 * GI, 0)
    standing = desk.room.standing("b")
    assert standing is not None
    assert standing.pool in ("local/cpu", "local/memory")
    desk.room.release("c")
    assert desk.ready == ["d"]
    desk.room.release("a")
    assert desk.ready == ["d", "b"]


def test_more_than_there_is_is_cut_down_and_runs_alone() -> None:
    desk = Desk(Machine(2, GI))
    assert desk.ask("huge", cpu=64, memory=512 * GI, gpus=8)
    assert not desk.ask("small", cpu=0.1)
    assert not desk.ask("small too", memory=1)
    desk.room.release("huge")
    assert desk.ready == ["small", "small too"]


def test_gpus_are_handed_out_by_number_and_to_one_at_a_time() -> None:
    desk = Desk(Machine(8, GI, ("0", "3", "5")))
    assert desk.ask("a", gpus=2)
    assert desk.ask("b", gpus=1)
    assert not desk.ask("c", gpus=2)
    assert desk.room.gpus("a") == ("0", "3")
    assert desk.room.gpus("b") == ("5",)
    desk.room.release("b")
    assert desk.ready == []
    desk.room.release("a")
    assert desk.ready == ["c"]
    assert desk.room.gpus("c") == ("0", "3")


def test_tenants_share_the_machine_by_weight() -> None:
    desk = Desk(Machine(1, GI), b=3.0)
    assert desk.ask("first", cpu=1)
    for number in range(20):
        desk.ask(f"a{number}", A, cpu=1)
        desk.ask(f"b{number}", B, cpu=1)
    desk.room.release("first")
    for _ in range(15):
        desk.clock.now += 1.0
        desk.room.release(desk.ready[-1])
    order = "".join(key[0] for key in desk.ready)
    assert order.count("b") >= 2 * order.count("a")
    assert order.count("a") >= 3


def test_a_large_request_is_not_starved_by_small_ones() -> None:
    desk = Desk(Machine(2, GI))
    assert desk.ask("s0", cpu=1, memory=1)
    assert desk.ask("s1", cpu=1, memory=1)
    assert not desk.ask("large", cpu=2, memory=GI)
    for number in range(2, 40):
        desk.ask(f"s{number}", cpu=1, memory=1)
    ended = 0
    while "large" not in desk.ready:
        desk.clock.now += 1.0
        desk.room.release(f"s{ended}")
        ended += 1
        assert ended <= PASSES + 4
    assert desk.room.free().cpu == 0.0


def test_what_waits_for_a_gpu_holds_up_nobody_who_wants_none() -> None:
    desk = Desk(Machine(4, GI, ("0",)))
    assert desk.ask("gpu", cpu=1, gpus=1)
    assert not desk.ask("gpu too", cpu=1, gpus=1)
    for number in range(40):
        assert desk.ask(f"n{number}", cpu=3)
        desk.room.release(f"n{number}")


def test_an_attempt_that_sleeps_leaves_its_room_and_has_it_again_at_once() -> None:
    desk = Desk(Machine(2, GI, ("0",)))
    assert desk.ask("parent", cpu=2, memory=GI, gpus=1)
    assert not desk.ask("child", cpu=2, memory=GI, gpus=1)
    desk.room.sleeps("parent")
    desk.room.sleeps("parent")
    assert desk.ready == ["child"]
    desk.room.wakes("parent")
    desk.room.wakes("parent")
    assert not desk.ask("third", cpu=1)
    desk.room.release("child")
    assert desk.ready == ["child"]
    desk.room.release("parent")
    assert desk.ready == ["child", "third"]
    desk.room.release("third")
    assert desk.room.free() == LocalAsk(2.0, GI, 1)


def test_who_is_released_while_it_sleeps_or_waits_leaves_nothing() -> None:
    desk = Desk(Machine(1, GI))
    assert desk.ask("asleep", cpu=1)
    desk.room.sleeps("asleep")
    assert desk.ask("next", cpu=1)
    assert not desk.ask("waits", cpu=1)
    for key in ("asleep", "waits", "waits", "nobody"):
        desk.room.release(key)
    desk.room.release("next")
    assert desk.ready == []
    assert desk.room.free() == LocalAsk(1.0, GI, 0)


def test_an_execution_is_woken_for_what_its_nodes_wait_for_and_gives_all_back() -> None:
    room = Room(Machine(1, GI), clock=Clock())
    woken: list[str] = []
    one = RoomOfExecution(room, "x1", A, lambda: woken.append("one"))
    two = RoomOfExecution(room, "x2", A, lambda: woken.append("two"))
    whole = LocalAsk(cpu=1)
    assert one.has("n0", whole)
    assert one.has("n0", whole)
    assert not two.has("n0", whole)
    assert not two.has("n0", whole)
    assert not two.has("n1", whole)
    assert two.has("n2", LocalAsk())
    assert [two.is_waiting(path) for path in ("n0", "n1", "n2")] == [True, True, False]
    two.sweep(lambda path: path == "n0")
    one.ended("n0")
    assert woken == ["two"]
    assert two.has("n1", whole)
    assert not two.is_waiting("n1")
    two.close()
    assert room.free() == LocalAsk(1.0, GI, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 4), st.integers(0, 3)), max_size=60))
def test_nothing_is_exceeded_or_lost_whoever_comes_and_goes(steps: list[tuple[int, int, int, int]]) -> None:
    desk = Desk(Machine(2, GI, ("0", "1")))
    has: dict[str, tuple[float, int, int]] = {}
    waits: dict[str, tuple[float, int, int]] = {}
    for what, cpu, memory, gpus in steps:
        key = f"k{what}"
        if key in has or key in waits:
            desk.room.release(key)
            has.pop(key, None)
            waits.pop(key, None)
        else:
            wanted = (cpu, memory * GI // 4, gpus)
            cut = (min(cpu, 2), memory * GI // 4, min(gpus, 2))
            (has if desk.ask(key, cpu=wanted[0], memory=wanted[1], gpus=wanted[2]) else waits)[key] = cut
        for ready in desk.ready:
            has[ready] = waits.pop(ready)
        desk.ready.clear()
        used = [sum(each[index] for each in has.values()) for index in range(3)]
        assert used[0] <= 2
        assert used[1] <= GI
        taken = [name for each in has for name in desk.room.gpus(each)]
        assert len(taken) == len(set(taken)) == used[2]
    for key in [*has, *waits]:
        desk.room.release(key)
    assert desk.room.free() == LocalAsk(2.0, GI, 2)


# --- what there is ---


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_memory_and_cores_are_those_of_the_control_group(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/box\n",
            "sys/fs/cgroup/pod/box/memory.max": "max\n",
            "sys/fs/cgroup/pod/memory.max": "1048576\n",
            "sys/fs/cgroup/pod/box/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/cpu.max": "max 100000\n",
        },
    )
    assert memory_bytes(root) == 1048576
    assert cores(root) == 0.5


def test_older_control_groups_are_heeded_too(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "7:memory:/box\n4:cpu,cpuacct:/box\n1:name=systemd:/\n",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "2097152\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "25000\n",
            "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
        },
    )
    assert memory_bytes(root) == 2097152
    assert cores(root) == 0.25


@pytest.mark.parametrize("files", [{}, {"proc/self/cgroup": "nonsense\n"}, {"proc/self/cgroup": "0::/gone\n"}])
def test_a_machine_without_limits_is_used_whole(tmp_path: Path, files: dict[str, str]) -> None:
    import psutil

    root = write(tmp_path, files)
    assert memory_bytes(root) == psutil.virtual_memory().total
    assert cores(root) >= 1


def test_gpus_are_those_that_are_visible(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia3x"), ""))
    assert visible_gpus({}, tmp_path) == ("0", "2", "10")
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == ()
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1,-1,2"}, tmp_path) == ("1",)
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "GPU-1, MIG-2"}, tmp_path) == ("GPU-1", "MIG-2")


def test_a_person_may_say_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert Machine.detect(cpu=1.5, memory=5, gpu=3) == Machine(1.5, 5, ("1", "0", "2"))
    assert Machine.detect(cpu=1.5, memory=5, gpu=0) == Machine(1.5, 5, ())
    assert Machine.detect().gpus == ("1",)
