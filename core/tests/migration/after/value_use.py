"""The module itself handed around."""

import flytepath
import flytepath as workflows

print(getattr(flytepath, "task"), workflows, flytepath.task_mock)
