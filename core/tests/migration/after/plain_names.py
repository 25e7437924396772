"""The usual way: names of the package itself."""

from flytepath import Resources, task, workflow


@task(requests=Resources(cpu="1", mem="200Mi"))
def double(x: int) -> int:
    return 2 * x


@workflow
def pipeline(x: int = 4) -> int:
    return double(x=double(x=x))


if __name__ == "__main__":
    assert pipeline(x=3) == 12
