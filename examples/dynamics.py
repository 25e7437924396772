"""Graphs that are made when they run: a dynamic task sees the values, so loops and ``if`` over them are plain Python.

    flytepath run examples/dynamics.py ordered
    flytepath run examples/dynamics.py ordered --values '[3, 1, 2]'

What it shows:

- ``@dynamic``: its inputs are native values, the calls in it are nodes, checked like those of a workflow;
- recursion: a dynamic task that calls itself, here merge sort; each half is sorted side by side with the other;
- in a durable run each graph that was made is recorded: an execution that is resumed does not make it again.
"""

from __future__ import annotations

import heapq

from flytepath import dynamic, task, workflow

#: Years of birth of the winners of the first Turing awards.
YEARS = [1922, 1913, 1915, 1927, 1919, 1930, 1927, 1938]


@task
def sort_few(values: list[int]) -> list[int]:
    """What is short enough is sorted at once."""
    return sorted(values)


@task
def merge(left: list[int], right: list[int]) -> list[int]:
    """Two sorted lists as one."""
    return list(heapq.merge(left, right))


@dynamic
def merge_sort(values: list[int], few: int) -> list[int]:
    """Sort both halves, each by a task of its own, and merge them."""
    if len(values) <= few:
        return sort_few(values=values)
    middle = len(values) // 2
    left = merge_sort(values=values[:middle], few=few)
    right = merge_sort(values=values[middle:], few=few)
    return merge(left=left, right=right)


@workflow
def ordered(values: list[int] = YEARS, few: int = 3) -> list[int]:
    """Sort the values."""
    return merge_sort(values=values, few=few)
