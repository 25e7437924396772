"""What the tests of constructs share: compile anything, and prove that its spec is closed and stable."""

from __future__ import annotations

from typing import Any

from flytepath.compiler import compile_entity
from flytepath.model.identity import Tenant
from flytepath.model.workflow import WorkflowSpec
from flytepath.testing import MemoryBlobs


def compiled(entity: Any, **more: Any) -> WorkflowSpec:
    """The spec of ``entity``, after a round trip through JSON; compiling again gives the same bytes."""
    spec = compile_entity(entity, Tenant(), MemoryBlobs(), **more)
    text = spec.model_dump_json()
    assert compile_entity(entity, Tenant(), MemoryBlobs(), **more).model_dump_json() == text
    again = WorkflowSpec.model_validate_json(text)
    assert again == spec
    assert again.model_dump_json() == text
    assert again.digest() == spec.digest()
    assert WorkflowSpec.model_validate_json(spec.model_dump_json(exclude_defaults=True)) == spec
    return spec
