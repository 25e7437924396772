"""The new module's name is in use already."""

import flytepath as flytekit

flytepath = "/usr/local/flyte"


@flytekit.task
def where(flytekit_home: str = flytepath) -> str:
    return flytekit_home


def shadow(flytekit):
    return [flytekit]


if __name__ == "__main__":
    assert where() == flytepath
