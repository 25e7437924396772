"""A module of which only some uses can be carried over."""

import flytekit
import flytekit.remote


@flytekit.task
def one() -> int:
    return 1


def launch() -> None:
    client = flytekit.remote.FlyteRemote(config=flytekit.configuration.Config.auto())
    client.execute(one)
