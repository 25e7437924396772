"""Is a plan pure, the same everywhere, plain, and named so that the vendor takes it and no two jobs share a name?"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Mapping
from typing import Any

from flytepath.model.identity import Tenant
from flytepath.model.literal import canonical_json
from flytepath.model.resources import Resources
from flytepath.plugin.backend import Backend
from flytepath.plugin.plans import JobKey, Owner, Plan, PlanRequest
from flytepath.testing.backend_conformance.purity import observed
from flytepath.testing.backend_conformance.scene import Scene, scenario
from flytepath.testing.backend_conformance.stage import Stage
from flytepath.testing.backend_conformance.vendor import Course
from flytepath.testing.findings import refuse
from flytepath.testing.object_graph import fingerprint
from flytepath.testing.plain_json import not_plain
from flytepath.testing.samples import stable_forms_elsewhere

_HINT = "plan() looks at the request and the settings and at nothing else; what must be looked up belongs to submit()"
_HEX = hashlib.sha256(b"conformance").hexdigest()


class PlanChecks(Stage):
    """The checks of ``plan``."""

    def test_plan_does_nothing_but_plan(self) -> None:
        """``plan`` reads no file, no clock, no environment, rolls no dice and talks to nobody."""

        async def act(scene: Scene) -> None:
            for request in sample_requests(scene):
                _, seen = observed(lambda request=request: scene.planned(request))  # type: ignore[misc]
                if seen:
                    refuse(
                        f"plan() is not pure: it uses {seen[0].what}",
                        place=seen[0].where,
                        expected="one plan for one request, on every machine and at any time",
                        actual=", ".join(dict.fromkeys(item.what for item in seen)),
                        hint=_HINT,
                    )

        self.play(act)

    def test_plan_gives_the_same_bytes_twice(self) -> None:
        """One request is one plan, byte by byte: again, by another backend, and in processes of other hash seeds."""
        first, second = self.stable_forms(), self.stable_forms()
        elsewhere = [stable_forms_elsewhere(type(self), hash_seed) for hash_seed in (1, 2)]
        for other, where in ((second, "in one process"), (elsewhere[0], "elsewhere"), (elsewhere[1], "elsewhere")):
            for expected, actual in zip(first, other, strict=True):
                if expected != actual:
                    refuse(
                        f"plan() gives another plan for the same request ({where})",
                        expected=expected,
                        actual=actual,
                        hint=f"sort sets and mappings, use no hash() or id(). {_HINT}",
                    )

    @scenario
    async def test_plan_leaves_the_request_alone(self, scene: Scene) -> None:
        """What plan is given is the same afterwards."""
        for request in sample_requests(scene):
            before = fingerprint(request)
            scene.planned(request)
            if fingerprint(request) != before:
                refuse(
                    "plan() changes the request",
                    place=scene.place("plan"),
                    hint="build the spec from copies; the request may be planned again",
                )

    @scenario
    async def test_plan_is_plain_and_says_what_was_asked(self, scene: Scene) -> None:
        """The spec is plain JSON; key, owner and items are those of the request; the digest follows the content."""
        request = scene.request(Course.RUNS, key=scene.key("said"))
        plan = scene.planned(request)
        problem = not_plain(plan.spec)
        if problem:
            refuse(
                "the spec is not plain JSON",
                place=scene.place("plan"),
                expected="dicts with string keys, lists, strings, finite numbers, booleans and None",
                actual=problem,
                hint="the plan is stored before it is submitted: list(...) for tuples, str(...) for paths",
            )
        for field in ("key", "owner", "items"):
            if getattr(plan, field) != getattr(request, field):
                refuse(
                    f"the plan has another {field} than the request",
                    place=scene.place("plan"),
                    expected=repr(getattr(request, field)),
                    actual=repr(getattr(plan, field)),
                    hint=f"pass it on: Plan({field}=request.{field}, ...)",
                )
        other = scene.planned(scene.request(Course.ENDS, key=scene.key("said")))
        if not plan.digest or (other.spec != plan.spec) != (other.digest != plan.digest):
            refuse(
                "the digest of a plan does not follow its spec",
                place=scene.place("plan"),
                expected="equal specs, equal digests; different specs, different digests",
                actual=f"{plan.digest!r} and {other.digest!r}",
                hint="take a SHA-256 of the canonical JSON of the spec",
            )
        if other.spec == plan.spec:
            refuse(
                "two tasks with different payloads have one spec",
                place=scene.place("plan"),
                hint="the spec is all that submit() sends, so what the task is must be in it",
            )

    @scenario
    async def test_names_fit_the_vendor_and_are_unique(self, scene: Scene) -> None:
        """Names keep within the vendor's limit and alphabet, and keys that are nearly equal have names that are not."""
        limit, named = scene.declaration.name_limit, re.compile(self.name_pattern)
        known: dict[str, JobKey] = {}
        for key, task in itertools.product(_near_equal_keys(), _odd_tasks()):
            request = dataclasses.replace(scene.request(key=key), task=task)
            name = scene.planned(request).external_name
            if not 0 < len(name) <= limit or not named.fullmatch(name):
                refuse(
                    f"the vendor does not take the name {name!r}",
                    place=scene.place("plan"),
                    expected=f"1 to {limit} characters that fit {self.name_pattern}",
                    actual=f"{len(name)} characters, for the task {task!r}",
                    hint="make it with request.key.name(prefix, limit), or declare another name_limit",
                )
            other = known.setdefault(name.lower(), key)
            if other != key:
                refuse(
                    f"two jobs share the name {name!r}",
                    place=scene.place("plan"),
                    expected="a name for each key",
                    actual=f"{other.value} and {key.value}",
                    hint="put a digest of the whole key into the name, and shorten the prefix instead",
                )

    # --- how it is done ---

    def planner(self) -> Backend:
        """A backend that is only asked to plan. By default one for a vendor that has already been stopped."""
        with self.vendor() as vendor:
            return vendor.backend()

    def stable_forms(self) -> list[str]:
        """The plans of sample requests as text; compared between processes."""
        with self._skipping(), self.vendor() as vendor:
            requests = [_request(vendor.task_type, vendor.payload(course)) for course in Course]
            requests = [vendor.complete(request) for request in requests]
        return [canonical_json(plan_as_json(self.planner().plan(request))).decode() for request in requests]


def plan_as_json(plan: Plan) -> Any:
    """A plan as plain data, for comparison."""
    return _plain(plan)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def sample_requests(scene: Scene) -> list[PlanRequest]:
    """Requests of every course, and with the odd things a request may hold."""
    plain = [scene.request(course) for course in Course]
    odd = dataclasses.replace(
        scene.request(),
        timeout_seconds=0.5,
        interruptible=True,
        labels={"zebra": "1", "apple": "2"},
        annotations={"note": "größer / smaller"},
    )
    return [*plain, odd]


def _request(task_type: str, payload: Any) -> PlanRequest:
    owner = Owner("conformance", Tenant("vision", "staging"), "e1", "train")
    key = JobKey(f"sha256:{_HEX}")
    resources = Resources(cpu="1")
    return PlanRequest(
        key=key,
        owner=owner,
        task="conformance.sample",
        task_type=task_type,
        payload=payload,
        inputs={},
        requests=resources,
        limits=resources,
        labels={name: name for name in ("c", "a", "b")},
    )


def _near_equal_keys() -> list[JobKey]:
    flipped = [_HEX[:place] + ("0" if _HEX[place] != "0" else "1") + _HEX[place + 1 :] for place in (0, 31, 32, 63)]
    return [JobKey(f"sha256:{text}") for text in (_HEX, *flipped)]


def _odd_tasks() -> list[str]:
    long = "conformance." + "very_" * 60 + "long"
    return ["sample", long, f"{long}er", "Größe.Δ", "9lives", "___", "UPPER.Case"]
