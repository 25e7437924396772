"""The task type kit passes what is right and fails exactly the check that a broken task type breaks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from flytepath.plugin import NO_OUTPUT, TaskType
from flytepath.testing import ConformanceError, TaskTypeConformance

CHECKS = sorted(name for name in vars(TaskTypeConformance) if name.startswith("test_"))
_clock = itertools.count()


@dataclass
class Config:
    tags: set[str] = field(default_factory=lambda: {"a", "b", "c", "d", "e"})
    options: dict[str, int] = field(default_factory=dict)


class Good(TaskType):
    def compile(self, declaration):
        return {"tags": sorted(declaration.config.tags), "options": dict(declaration.config.options)}


class Conforming(TaskTypeConformance):
    task_type = Good

    def config_samples(self):
        return [Config(), Config(options={"x": 1})]


class TestTheKitPasses(Conforming):
    """The class as an author would write it: pytest collects and passes every check."""


class Ticking(Good):
    def compile(self, declaration):
        return {"at": next(_clock)}


class HashOrdered(Good):
    def compile(self, declaration):
        return {"tags": list(declaration.config.tags)}


class Mutating(Good):
    def compile(self, declaration):
        declaration.config.options["seen"] = 1
        return super().compile(declaration)


class TuplePayload(Good):
    def compile(self, declaration):
        return {"tags": tuple(sorted(declaration.config.tags))}


class Bodiless(Good):
    def execute(self, context, inputs, call_body):
        return None


class Twice(Good):
    def execute(self, context, inputs, call_body):
        call_body(inputs)
        return call_body(inputs)


class Changing(Good):
    def execute(self, context, inputs, call_body):
        return [call_body(inputs)]


class Swallowing(Good):
    def execute(self, context, inputs, call_body):
        try:
            return call_body(inputs)
        except Exception:  # noqa: BLE001 - what a careless author writes
            return None


class Hiding(Good):
    def execute(self, context, inputs, call_body):
        failed = False
        try:
            return call_body(inputs)
        except Exception:  # noqa: BLE001 - what a careless author writes
            failed = True
        raise RuntimeError(f"failed: {failed}")


class Replacing(Good):
    def execute(self, context, inputs, call_body):
        output = call_body(inputs)
        return None if output is NO_OUTPUT else output


class Exact(Good):
    def compile(self, declaration):
        return super().compile(declaration) if type(declaration.config) is Config else {}


class Vague(Good):
    local_fidelity = "mostly"


class KitForHashOrdered(Conforming):
    task_type = HashOrdered


class KitForTicking(Conforming):
    task_type = Ticking


class KitForMutating(Conforming):
    task_type = Mutating


class KitForTuples(Conforming):
    task_type = TuplePayload


class KitForBodiless(Conforming):
    task_type = Bodiless


class KitForTwice(Conforming):
    task_type = Twice


class KitForChanging(Conforming):
    task_type = Changing


class KitForSwallowing(Conforming):
    task_type = Swallowing


class KitForHiding(Conforming):
    task_type = Hiding


class KitForReplacing(Conforming):
    task_type = Replacing


class KitForExact(Conforming):
    task_type = Exact


class KitForVague(Conforming):
    task_type = Vague


BODY, ERROR, NONE = (
    "test_execute_calls_the_body",
    "test_execute_passes_the_bodys_error_on",
    "test_no_output_is_passed_on",
)
STABLE = "test_compile_gives_the_same_bytes_twice"


@pytest.mark.parametrize(
    ("kit", "checks", "said"),
    [
        (KitForTicking, {STABLE, "test_subclasses_of_the_configuration_belong_here"}, "no clock"),
        (KitForHashOrdered, {STABLE}, "elsewhere"),
        (KitForMutating, {"test_compile_leaves_the_configuration_alone"}, "copies"),
        (KitForTuples, {"test_payload_is_plain_json"}, "['tags'] is a tuple"),
        (KitForBodiless, {BODY, ERROR, NONE}, "0 time(s)"),
        (KitForTwice, {BODY}, "2 time(s)"),
        (KitForChanging, {BODY, NONE}, "does not return what the body returned"),
        (KitForSwallowing, {ERROR}, "swallows"),
        (KitForReplacing, {NONE}, "NO_OUTPUT"),
        (KitForExact, {"test_subclasses_of_the_configuration_belong_here"}, "isinstance"),
        (KitForVague, {"test_local_fidelity_is_one_that_exists"}, "'mostly'"),
        (KitForHiding, {ERROR}, "hides the error"),
    ],
)
def test_a_broken_task_type_fails_exactly_the_checks_that_it_breaks(kit, checks, said):
    found = {}
    for name in CHECKS:
        try:
            getattr(kit(), name)()
        except ConformanceError as error:
            assert error.hint
            found[name] = str(error)
    assert set(found) == checks, found
    assert any(said in text for text in found.values()), found


def test_a_task_without_a_body_is_not_executed():
    class Checks(Conforming):
        task_type = Bodiless
        calls_body = False

    for name in (BODY, ERROR, NONE):
        getattr(Checks(), name)()


def test_a_configuration_that_selects_nothing_is_found_out():
    class Checks(Conforming):
        name = "declared-nowhere"

    with pytest.raises(ConformanceError, match="selects another task type"):
        Checks().test_subclasses_of_the_configuration_belong_here()


def test_samples_are_asked_for():
    class Checks(Conforming):
        def config_samples(self):
            return []

    with pytest.raises(ConformanceError, match="no samples"):
        Checks().test_payload_is_plain_json()
