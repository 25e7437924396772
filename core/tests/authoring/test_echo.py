"""Echo: outputs that are the inputs."""

from __future__ import annotations

from typing import Any

import pytest
from flytepath import kwtypes, task, workflow
from flytepath.authoring.kinds.echo import Echo
from flytepath.errors import InputError, TypeTransformerFailedError

one = Echo(name="one", inputs=kwtypes(a=list[int]))
two = Echo(name="two", inputs={"a": int, "b": (str, "default")})
nothing = Echo(name="nothing")


def test_one_input_is_the_output_and_several_are_a_tuple() -> None:
    given = [1, 2]
    back: Any = one(a=given)
    assert back == given
    assert back is not given
    assert two(a=1) == (1, "default")
    assert two(b="x", a=1) == (1, "x")
    assert nothing() is None
    assert two.outputs == {"o0": int, "o1": str}


def test_it_stands_in_a_workflow_like_any_task() -> None:
    @task
    def double(x: int) -> int:
        return 2 * x

    @workflow
    def through(x: int) -> tuple[str, int]:
        number, word = two(a=double(x=x), b="w")
        nothing()
        return word, double(x=number)

    assert through(x=3) == ("w", 12)


def test_inputs_are_checked() -> None:
    with pytest.raises(TypeTransformerFailedError):
        two(a="1")
    with pytest.raises(InputError):
        two(c=1)
