"""Core's own manifest: built-ins come in by the same door as plugins."""

from __future__ import annotations

from typing import Any, cast

from flytepath.plugin.builtin_types import BUILTIN_TRANSFORMERS
from flytepath.plugin.declarations import TransformerDeclaration
from flytepath.plugin.hookimpl import hookimpl


@hookimpl
def flytepath_transformers() -> list[TransformerDeclaration]:
    """The Python types of core."""
    return [TransformerDeclaration(**cast(Any, row._asdict())) for row in BUILTIN_TRANSFORMERS]
