"""Where a pod may run: selectors, tolerations and affinities that are required together, none in place of another."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flyte_plugin_kubernetes.errors import PodSpecError
from flyte_plugin_kubernetes.merging import Data, merge, plain_copy

REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def place(
    spec: Data,
    *,
    node_selector: Mapping[str, str] | None = None,
    tolerations: Sequence[Data] = (),
    affinity: Data | None = None,
) -> dict[str, Any]:
    """The pod spec with further demands on its node.

    Raises:
        PodSpecError: a label of nodes is demanded to be two things.

    Example:
        >>> place({"nodeSelector": {"disk": "ssd"}}, node_selector={"gpu": "t4"})
        {'nodeSelector': {'disk': 'ssd', 'gpu': 't4'}}
    """
    more: dict[str, Any] = {}
    if node_selector:
        _check_agree(spec.get("nodeSelector") or {}, node_selector)
        more["nodeSelector"] = dict(node_selector)
    if tolerations:
        more["tolerations"] = list(tolerations)
    placed = merge(spec, more)
    if affinity:
        placed["affinity"] = both(spec.get("affinity") or {}, affinity)
    return placed


def both(first: Data, second: Data) -> dict[str, Any]:
    """An affinity that demands what two demand.

    The terms of a required node affinity are alternatives, so each of the one is joined with each of the other; other
    lists of terms are demands, and stand beside each other.

    Example:
        >>> def either(*labels):
        ...     terms = [{"matchExpressions": [{"key": label, "operator": "Exists"}]} for label in labels]
        ...     return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}
        >>> terms = both(either("a", "b"), either("c"))["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
        >>> [[expression["key"] for expression in term["matchExpressions"]] for term in terms]
        [['a', 'c'], ['b', 'c']]
    """
    found = plain_copy(first)
    for kind, rules in second.items():
        mine = found.setdefault(kind, {})
        for rule, terms in rules.items():
            if kind == "nodeAffinity" and rule == REQUIRED and rule in mine:
                mine[rule] = {"nodeSelectorTerms": _crossed(mine[rule], terms)}
            elif rule in mine and isinstance(terms, list | tuple):
                mine[rule] = [*mine[rule], *(plain_copy(term) for term in terms if term not in mine[rule])]
            else:
                mine[rule] = plain_copy(terms)
    return dict(found)


def absent(label: str) -> dict[str, Any]:
    """An affinity to nodes without a label."""
    term = {"matchExpressions": [{"key": label, "operator": "DoesNotExist"}]}
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}


def _crossed(first: Data, second: Data) -> list[dict[str, Any]]:
    pairs = itertools.product(first.get("nodeSelectorTerms", []), second.get("nodeSelectorTerms", []))
    crossed = []
    for one, other in pairs:
        term: dict[str, Any] = {}
        for field in ("matchExpressions", "matchFields"):
            joined = [*one.get(field, ()), *(item for item in other.get(field, ()) if item not in one.get(field, ()))]
            if joined:
                term[field] = plain_copy(joined)
        crossed.append(term)
    return crossed


def _check_agree(has: Mapping[str, str], wants: Mapping[str, str]) -> None:
    for label, value in wants.items():
        if has.get(label, value) != value:
            raise PodSpecError(
                f"no node can be both: the label {label} is demanded as {has[label]!r} and as {value!r}",
                place=f"spec.nodeSelector[{label!r}]",
                expected="one demand",
                actual=f"{has[label]!r} by the pod template, {value!r} by the task's accelerator or interruptible",
            )
