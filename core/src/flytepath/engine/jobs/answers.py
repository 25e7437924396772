"""What a plugin may answer: whatever else it gives is its mistake, found before anything is made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from flytepath.plugin.backend import (
    BackendError,
    ErrorClass,
    Gone,
    Handle,
    InProgress,
    ItemPhases,
    NotOurs,
    Observation,
    OwnedJob,
    OwnedPage,
    Phase,
    Terminal,
)
from flytepath.plugin.plans import JobKey, Owner

#: The longest time, in seconds, for which a service is left alone at its word; then it is asked again.
LONGEST_HOLD: Final = 86_400.0


def bad_observation(seen: Any) -> str:
    """What is wrong with what a plugin saw of a job; empty where it can be kept.

    Example:
        >>> bad_observation(Observation(Phase.RUNNING, "ACTIVE"))
        ''
        >>> bad_observation(Observation("running", "ACTIVE"))
        "phase is 'running', no Phase"
        >>> bad_observation({"phase": "running"})
        'a dict, no Observation'
    """
    if not isinstance(seen, Observation):
        return f"a {type(seen).__name__}, no Observation"
    given: Any = seen  # typed, and by an author whose types nobody checked
    if not isinstance(given.phase, Phase | None):
        return f"phase is {given.phase!r}, no Phase"
    for name in ("raw_state", "reason"):
        if not isinstance(getattr(given, name), str):
            return f"{name} is {getattr(given, name)!r}, no text"
    if not isinstance(given.error_class, ErrorClass | None):
        return f"error_class is {given.error_class!r}, no ErrorClass"
    if not isinstance(given.exit_code, int | None):
        return f"exit_code is {given.exit_code!r}, no integer"
    if given.progress is not None and not (isinstance(given.progress, int | float) and math.isfinite(given.progress)):
        return f"progress is {given.progress!r}, no number"
    if given.links and not _are_links(given.links):
        return "links are no pairs of title and URL"
    return "" if given.items is None else _bad_items(given.items)


def _are_links(links: Any) -> bool:
    return isinstance(links, tuple) and all(
        isinstance(link, tuple) and len(link) == 2 and all(isinstance(part, str) for part in link) for link in links
    )


def _bad_items(items: Any) -> str:
    if not isinstance(items, ItemPhases):
        return f"items are a {type(items).__name__}, no ItemPhases"
    given: Any = items
    if not all(isinstance(part, Mapping) for part in (given.by_phase, given.reasons, given.error_classes)):
        return "the parts of items are no mappings"
    for phase, indices in given.by_phase.items():
        if not isinstance(phase, Phase):
            return f"items have the phase {phase!r}, no Phase"
        if not isinstance(indices, tuple | list) or not all(isinstance(index, int) for index in indices):
            return f"the items that are {phase} are no indices"
    if not all(isinstance(reason, str) for reason in given.reasons.values()):
        return "the reasons of items are no texts"
    if not all(isinstance(error_class, ErrorClass) for error_class in given.error_classes.values()):
        return "the error classes of items are no ErrorClass"
    return ""


def checked_cancel(answer: Any) -> Gone | Terminal | InProgress | NotOurs:
    """What ``cancel`` gave.

    Raises:
        BackendError: a mistake of the plugin; nothing is known of the job.
    """
    bad = "" if isinstance(answer, Gone | Terminal | InProgress | NotOurs) else f"a {type(answer).__name__}"
    if isinstance(answer, Terminal):
        seen: Any = answer.observation
        phase = getattr(seen, "phase", seen)
        if not isinstance(seen, Observation) or not (phase is None or (isinstance(phase, Phase) and phase.is_terminal)):
            bad = f"Terminal with {phase!r} for its phase"
        elif bad_observation(seen):  # that it has ended is clear; only what is told of it is not
            answer = Terminal(Observation(phase, ""))
    if bad:
        raise BackendError(f"cancel gave what cannot be read: {bad}", error_class=ErrorClass.PROTOCOL)
    found: Gone | Terminal | InProgress | NotOurs = answer
    return found


def checked_page(page: Any) -> OwnedPage:
    """What ``list_owned`` gave.

    Raises:
        BackendError: a mistake of the plugin; nothing is made of it.
    """
    if not isinstance(page, OwnedPage):
        raise BackendError(f"list_owned gave a {type(page).__name__}, no OwnedPage", error_class=ErrorClass.PROTOCOL)
    for job in page.jobs:
        given: Any = job
        is_whole = isinstance(given, OwnedJob) and isinstance(given.key, JobKey) and isinstance(given.owner, Owner)
        if not is_whole or not isinstance(given.handle, Handle):
            raise BackendError(f"list_owned lists {given!r:.80}, no OwnedJob", error_class=ErrorClass.PROTOCOL)
    return page


def hold_seconds(retry_after: Any) -> float | None:
    """For how long a service asks to be left alone; ``None`` where it gives no number of seconds.

    Example:
        >>> hold_seconds(2), hold_seconds(1e18), hold_seconds(float("nan")), hold_seconds(-3), hold_seconds("soon")
        (2.0, 86400.0, None, None, None)
    """
    if not isinstance(retry_after, int | float) or math.isnan(retry_after) or retry_after < 0:
        return None
    return min(float(retry_after), LONGEST_HOLD)
