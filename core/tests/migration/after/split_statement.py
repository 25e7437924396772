"""A statement of which only a part can be carried over."""

from flytepath import (
    task,
    # the whole of it
    workflow,
)
from flytekit import (
    FlyteRemote,  # talks to the service
)
from flytekit.configuration import Config, Image
from flytepath import FlyteAssertion
from flytekit.exceptions.user import FlyteAuthenticationException
from flytepath import TypeEngine; from flytekit.core.type_engine import SimpleTransformer; import math


@task
def one() -> int:
    return int(math.cos(0))


@workflow
def ones() -> int:
    return one()


def remote() -> FlyteRemote:
    return FlyteRemote(Config.auto(), Image)
