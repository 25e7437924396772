"""Whether an owner is dead, as far as this machine can tell."""

from __future__ import annotations

import subprocess
import sys

import pytest
from flytepath.engine.ownership import is_dead, this_process


def owner_of_a_process_that_has_ended() -> str:
    code = "from flytepath.engine.ownership import this_process; print(this_process())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_this_process_lives() -> None:
    assert not is_dead(this_process())


def test_a_process_that_has_ended_is_dead() -> None:
    assert is_dead(owner_of_a_process_that_has_ended())


def test_a_process_id_that_was_given_to_another_process_is_dead() -> None:
    host, boot, pid, start = this_process().split("/")
    assert is_dead(f"{host}/{boot}/{pid}/{int(start or 0) + 1}")


def test_whoever_ran_before_the_last_boot_is_dead() -> None:
    host, _, pid, start = this_process().split("/")
    assert is_dead(f"{host}/another-boot/{pid}/{start}")


@pytest.mark.parametrize("owner", ["elsewhere/b/1/1", "", "nonsense", "engine-1"])
def test_of_other_machines_only_their_lease_tells(owner: str) -> None:
    assert not is_dead(owner)
