"""Array jobs, where they are declared: does each item have its own end, under the index the map gave it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flytepath.model.literal import Literal
from flytepath.plugin.backend import (
    BackendError,
    Handle,
    ItemPhases,
    Observation,
    Phase,
)
from flytepath.plugin.plans import Plan
from flytepath.testing.backend_conformance.scene import Scene, scenario
from flytepath.testing.backend_conformance.stage import Stage
from flytepath.testing.backend_conformance.submitting import one_job
from flytepath.testing.findings import refuse

#: Indices as a slice of a map has them that is retried: neither from 0 nor without gaps.
_ITEMS = (1, 4, 5)
_FAILING = (4,)


class ArrayChecks(Stage):
    """The checks of array jobs."""

    @scenario
    async def test_each_item_of_an_array_job_has_its_own_end(self, scene: Scene) -> None:
        """Items that fail do not take others with them; phases and reasons stand under the map's own indices."""
        plan, handle, seen = await self._ended_array(scene, _ITEMS, _FAILING)
        phases = _by_index(scene, plan, seen)
        expected = {item: Phase.FAILED if item in _FAILING else Phase.SUCCEEDED for item in _ITEMS}
        if phases != expected or any(not (seen.items and seen.items.reasons.get(item)) for item in _FAILING):
            refuse(
                "the items of an array job have other ends than theirs",
                place=scene.place("poll"),
                expected=f"{_shown(expected)}, with reasons for those that failed",
                actual=f"{_shown(phases)}, reasons {seen.items.reasons if seen.items else None}",
                hint="translate the vendor's position in the array into plan.items[position]",
            )
        good = [item for item in _ITEMS if item not in _FAILING]
        first, again = await self._collected(scene, handle, good), await self._collected(scene, handle, good)
        if {item: _digests(value) for item, value in first.items()} != {
            item: _digests(value) for item, value in again.items()
        }:
            refuse(
                "collect_items() gives other outputs the second time",
                place=scene.place("collect_items"),
                hint="read the results and leave them there",
            )
        await one_job(scene, plan, "an array job is one job")

    @scenario
    async def test_retried_items_are_a_slice_of_their_own(self, scene: Scene) -> None:
        """Some items of before, under a new key, are another job, with the same indices."""
        first, _, _ = await self._ended_array(scene, _ITEMS, _FAILING)
        plan, handle, seen = await self._ended_array(scene, _FAILING, ())
        phases = _by_index(scene, plan, seen)
        if phases != dict.fromkeys(_FAILING, Phase.SUCCEEDED):
            refuse(
                "the items of a second slice have other indices, or other ends, than theirs",
                place=scene.place("poll"),
                expected=_shown(dict.fromkeys(_FAILING, Phase.SUCCEEDED)),
                actual=_shown(phases),
                hint="translate the vendor's position in the array into plan.items[position]",
            )
        await self._collected(scene, handle, list(_FAILING))
        await one_job(scene, first, "a slice of its items was retried under another key")

    @scenario
    async def test_an_array_as_large_as_declared_is_taken(self, scene: Scene) -> None:
        """A plan with as many items as ``array_limit`` says (1,000 at the most here) can be submitted and cancelled."""
        items = tuple(range(min(self._limit(scene), 1000)))
        plan = scene.plan(items=items, payload=await self._payload(scene, items, ()))
        handle = await scene.submit(plan)
        _by_index(scene, plan, await scene.observe(handle))
        await scene.cancelled(plan.key, handle)

    # --- how it is done ---

    def _limit(self, scene: Scene) -> int:
        if not scene.declaration.array_limit:
            self.skip("the backend declares no array jobs (array_limit is 0)")
        return scene.declaration.array_limit

    async def _payload(self, scene: Scene, items: tuple[int, ...], failing: tuple[int, ...]) -> object:
        return await scene.vendor_does(scene.vendor.array_payload, items, failing)

    async def _ended_array(
        self, scene: Scene, items: tuple[int, ...], failing: tuple[int, ...]
    ) -> tuple[Plan, Handle, Observation]:
        self._limit(scene)
        payload = await self._payload(scene, items, failing)
        inputs: tuple[Mapping[str, Literal], ...] = tuple({} for _ in items)
        plan = scene.plan(items=items, item_inputs=inputs, payload=payload)
        handle = await scene.submit(plan)
        return plan, handle, await scene.ended(handle)

    async def _collected(self, scene: Scene, handle: Handle, items: Sequence[int]) -> dict[int, Mapping[str, Literal]]:
        got = await scene.call("collect_items", scene.backend.collect_items(handle, items, scene.blobs))
        if set(got) != set(items) or any(isinstance(value, BackendError) for value in got.values()):
            refuse(
                "collect_items() does not give the outputs of the items it was asked for",
                place=scene.place("collect_items"),
                expected=f"outputs of {sorted(items)}",
                actual=repr(got)[:500],
                hint="answer by the map's own indices, for exactly the items asked for",
            )
        return {item: value for item, value in got.items() if not isinstance(value, BackendError)}


def _by_index(scene: Scene, plan: Plan, seen: Observation) -> dict[int, Phase]:
    if not isinstance(seen.items, ItemPhases):
        refuse(
            "a look at an array job tells nothing of its items",
            place=scene.place("poll"),
            expected="Observation(items=ItemPhases({phase: indices}))",
            actual=repr(seen),
            hint="give the phases of all items whenever the job is looked at",
        )
    phases: dict[int, Phase] = {}
    for phase, indices in seen.items.by_phase.items():
        for item in indices:
            if item in phases or item not in plan.items:
                refuse(
                    f"item {item} stands in two phases, or is none of this job's",
                    place=scene.place("poll"),
                    expected=f"each of {plan.items[:10]} at most once",
                    actual=repr(seen.items)[:500],
                    hint="translate the vendor's position in the array into plan.items[position]",
                )
            phases[item] = phase
    return phases


def _digests(outputs: Mapping[str, Literal]) -> list[tuple[str, str]]:
    return [(name, value.digest) for name, value in outputs.items()]


def _shown(phases: Mapping[int, Phase]) -> str:
    return ", ".join(f"{item} {phase.value}" for item, phase in sorted(phases.items()))
