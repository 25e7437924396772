"""The same name for other things in other scopes."""

import flytepath


def one(flytekit):
    return flytekit.task


def two():
    flytekit = {"task": 1}
    return flytekit["task"]


def three():
    return [flytepath.Resources for _ in range(3)], lambda flytekit: flytekit.task


def four():
    import flytepath as flytekit

    return (
        flytekit.FlyteFile
    )


class Five:
    flytekit = 1

    def six(self):
        return flytepath.workflow
