"""Exceptions, some under another name now."""

from flytekit.core.type_engine import TypeTransformerFailedError
from flytekit.exceptions.base import FlyteException, FlyteRecoverableException as Again
from flytekit.exceptions.user import FlyteTypeException as WrongType


def work(x: int) -> int:
    try:
        return x
    except (FlyteException, TypeTransformerFailedError, WrongType) as error:
        raise Again(str(error)) from error


if __name__ == "__main__":
    assert work(1) == 1
