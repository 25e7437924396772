"""What can only be reported."""

import importlib
from unittest.mock import patch

from flytekit import *
from mypackage import flytekit as other

engine = importlib.import_module("flytekit")


@task
def one() -> int:
    return 1


@workflow
def ones() -> int:
    return one()


def test() -> None:
    with patch("flytekit.core.workflow.workflow"), patch("mypackage.flytekit.current_context"):
        x = 1  # type: flytekit.Resources
    print(flytekit.types.file, other)
