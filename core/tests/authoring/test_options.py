from __future__ import annotations

from typing import Any

import pytest
from flytepath.authoring.declared.notifications import Email, WorkflowExecutionPhase
from flytepath.authoring.declared.options import (
    Annotations,
    ConcurrencyPolicy,
    Labels,
    Options,
    RawOutputDataConfig,
    SecurityContext,
    WorkflowFailurePolicy,
)
from flytepath.errors import DefinitionError
from flytepath.model.secret import Secret

MAIL = Email([WorkflowExecutionPhase.FAILED], ["a@b"])


def test_json_keeps_all_options() -> None:
    options = Options(
        labels=Labels({"a": "b"}),
        annotations={"c": "d"},
        raw_output_data_config="s3://bucket/x",
        security_context=SecurityContext(secrets=[Secret("g", "k")]),
        max_parallelism=3,
        notifications=[MAIL],
        overwrite_cache=True,
    )
    assert Options.from_json(options.to_json()) == options
    assert options.annotations == Annotations({"c": "d"})
    assert options.raw_output_data_config == RawOutputDataConfig("s3://bucket/x")
    assert isinstance(hash(options), int)


def test_labels_and_annotations_are_not_each_other() -> None:
    assert Labels({"a": "b"}) != Annotations({"a": "b"})
    with pytest.raises(DefinitionError, match=r"Options\(labels\)"):
        Options(labels=Annotations({"a": "b"}))  # type: ignore[arg-type]


def test_the_caller_s_dict_is_copied() -> None:
    values = {"a": "b"}
    labels = Labels(values)
    values["c"] = "d"
    assert labels.values == {"a": "b"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"labels": {"a": 1}},
        {"labels": "a"},
        {"annotations": {"": "x"}},
        {"max_parallelism": -1},
        {"max_parallelism": True},
        {"max_parallelism": 1.5},
        {"notifications": MAIL},
        {"notifications": ["a@b"]},
        {"notifications": [MAIL], "disable_notifications": True},
        {"overwrite_cache": "yes"},
        {"security_context": "me"},
        {"raw_output_data_config": 3},
    ],
)
def test_options_that_mean_nothing_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError):
        Options(**arguments)


def test_options_from_an_account_and_a_prefix() -> None:
    options = Options.default_from(k8s_service_account="robot", raw_data_prefix="s3://b")
    assert options.security_context is not None and options.security_context.run_as is not None
    assert options.security_context.run_as.k8s_service_account == "robot"
    assert Options.default_from() == Options()


@pytest.mark.parametrize("limit", [0, -1, True, "2", 1.0, None])
def test_a_concurrency_limit_is_a_number_from_one(limit: Any) -> None:
    with pytest.raises(DefinitionError, match="max_concurrency"):
        ConcurrencyPolicy(max_concurrency=limit)


def test_an_unknown_behaviour_is_refused() -> None:
    with pytest.raises(DefinitionError, match="SKIP"):
        ConcurrencyPolicy(max_concurrency=1, behavior=9)  # type: ignore[arg-type]


def test_failure_policies_are_those_of_compiled_workflows() -> None:
    assert {policy.value for policy in WorkflowFailurePolicy} == {
        "fail_immediately",
        "fail_after_executable_nodes_complete",
    }
