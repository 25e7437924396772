"""Exceptions, some under another name now."""

from flytepath import TypeTransformerFailedError
from flytepath import FlyteException, FlyteRecoverableException as Again
from flytepath import FlyteTypeException as WrongType


def work(x: int) -> int:
    try:
        return x
    except (FlyteException, TypeTransformerFailedError, WrongType) as error:
        raise Again(str(error)) from error


if __name__ == "__main__":
    assert work(1) == 1
