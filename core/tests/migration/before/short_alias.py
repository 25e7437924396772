"""The module under a short name."""

import flytekit as fl
from flytekit import kwtypes as kinds


@fl.task
def add(a: int, b: int) -> int:
    return a + b


@fl.workflow
def total(a: int, b: int) -> int:
    return add(a=a, b=add(a=a, b=b))


KINDS = kinds(x=int)

if __name__ == "__main__":
    assert total(a=1, b=2) == 4
