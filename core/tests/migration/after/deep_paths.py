"""Names by the modules that define them."""

from flytepath import kwtypes
from flytepath import dynamic
from flytepath import Resources
from flytepath import task
from flytepath import workflow
from flytepath import FlyteRecoverableException
from flytepath import StructuredDataset

SCHEMA = kwtypes(a=int)


@task(requests=Resources(mem="1Gi"))
def size(data: StructuredDataset) -> int:
    if data is None:
        raise FlyteRecoverableException("not there yet")
    return 1


@dynamic
def many(n: int) -> list[int]:
    return [n for _ in range(n)]


@workflow
def sizes(data: StructuredDataset) -> int:
    return size(data=data)
