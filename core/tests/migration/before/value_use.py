"""The module itself handed around."""

import flytekit
import flytekit.core.workflow as workflows
from flytekit import testing

print(getattr(flytekit, "task"), workflows, testing.task_mock)
