"""A statement of which only a part can be carried over."""

from flytekit import (
    FlyteRemote,  # talks to the service
    task,
    # the whole of it
    workflow,
)
from flytekit.configuration import Config, Image
from flytekit.exceptions.user import FlyteAssertion, FlyteAuthenticationException
from flytekit.core.type_engine import SimpleTransformer, TypeEngine; import math


@task
def one() -> int:
    return int(math.cos(0))


@workflow
def ones() -> int:
    return one()


def remote() -> FlyteRemote:
    return FlyteRemote(Config.auto(), Image)
