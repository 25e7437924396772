"""Names by the modules that define them."""

from flytekit.core.base_task import kwtypes
from flytekit.core.dynamic_workflow_task import dynamic
from flytekit.core.resources import Resources
from flytekit.core.task import task
from flytekit.core.workflow import workflow
from flytekit.exceptions.user import FlyteRecoverableException
from flytekit.types.structured.structured_dataset import StructuredDataset

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
