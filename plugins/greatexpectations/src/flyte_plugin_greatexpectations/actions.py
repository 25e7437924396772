"""What is done with a result: the library's actions, one after the other, so that none keeps another from its turn.

They run after the result is known and told. An action that fails is an error of its own, and takes nothing with it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flyte_plugin_greatexpectations.batches import Part
from flyte_plugin_greatexpectations.library import FAILURES
from flyte_plugin_greatexpectations.outcomes import plain_message

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ran:
    """What was found of each batch, and a line for each action: all of them, and those that failed."""

    found: tuple[tuple[Part, Any], ...]
    lines: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


def actions_run(context: Any, found: tuple[tuple[Part, Any], ...], outcome: Any, actions: Iterable[Any]) -> Ran:
    """Run actions on the result of a checkpoint.

    Args:
        context: the context that the checkpoint ran in.
        found: what was found.
        outcome: the result of the checkpoint.
        actions: objects of the library, or their configuration.
    """
    from great_expectations.checkpoint import UpdateDataDocsAction
    from great_expectations.checkpoint.actions import ActionContext

    lines, broken, made = [], [], []
    for item in actions:
        name = str(item.get("name") if isinstance(item, dict) else item.name)
        try:
            made.append((name, _made(item)))
        except FAILURES as error:
            broken.append(f"the action {name!r} cannot be made: {plain_message(str(error))}")
    # Data docs come first: other actions may tell where they are.
    made.sort(key=lambda pair: not isinstance(pair[1], UpdateDataDocsAction))
    shared = ActionContext()
    for name, action in made:
        try:
            action._data_context = context
            told = action.run(checkpoint_result=outcome, action_context=shared)
        except Exception as error:
            log.debug("the action %r failed", name, exc_info=True)
            broken.append(f"the action {name!r} failed: {type(error).__name__}: {plain_message(str(error))}")
            continue
        shared.update(action=action, action_result=told)
        # Some of the library's own only say that they did not reach anybody.
        said = [value for value in told.values() if isinstance(value, str)] if isinstance(told, dict) else []
        lines.append(f"{name}: {plain_message('; '.join(said)) or 'done'}")
    return Ran(found, (*lines, *broken), tuple(broken))


def _made(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    from great_expectations.checkpoint.actions import _VALIDATION_ACTION_REGISTRY

    return _VALIDATION_ACTION_REGISTRY.get(item["type"])(**item)
