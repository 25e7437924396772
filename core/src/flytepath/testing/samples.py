"""Samples of a test class in another process: where hash order, ids or clocks leak into bytes, it shows."""

from __future__ import annotations

import sys
from typing import Any

from flytepath.testing.findings import refuse
from flytepath.testing.probe import ProbeError, ask


def stable_forms_elsewhere(test_class: type[Any], hash_seed: int) -> list[str]:
    """What ``test_class().stable_forms()`` returns in a process of that hash seed."""
    module = sys.modules[test_class.__module__]
    request = {
        "ask": "samples",
        "module": test_class.__module__,
        "file": getattr(module, "__file__", None) or "",
        "qualname": test_class.__qualname__,
    }
    try:
        answer = ask(request, hash_seed=hash_seed)
    except ProbeError as error:
        refuse(
            f"{test_class.__qualname__} cannot be run in another process",
            place=str(request["file"]),
            actual=str(error)[-1500:],
            hint="define the test class at the top of an importable test module, and its samples inside it",
            cause=error,
        )
    return [str(item) for item in answer["stable"]]
