"""The same name for other things in other scopes."""

import flytekit


def one(flytekit):
    return flytekit.task


def two():
    flytekit = {"task": 1}
    return flytekit["task"]


def three():
    return [flytekit.Resources for _ in range(3)], lambda flytekit: flytekit.task


def four():
    import flytekit as flytekit

    return (
        flytekit
        .types.file
        .FlyteFile
    )


class Five:
    flytekit = 1

    def six(self):
        return flytekit.workflow
