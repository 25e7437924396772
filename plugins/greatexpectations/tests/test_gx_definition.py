"""What is wrong with a validation is said when it is defined, and defining one imports nothing heavy."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from typing import Annotated, Any

import pandas as pd
import pytest
from flyte_plugin_greatexpectations import (
    Expectation,
    GreatExpectationsConfig,
    GreatExpectationsTask,
    GreatExpectationsType,
    ValidationResult,
    expect,
    parameter,
)
from flyte_plugin_greatexpectations.task import GreatExpectationsTaskType
from flytepath import FlyteSchema, StructuredDataset, kwtypes, task
from flytepath.plugin import DefinitionError, TaskDeclaration

NOT_NULL = expect("column_values_to_not_be_null", column="x")


def make(**options: Any) -> GreatExpectationsTask:
    given = {"name": "check", "expectations": [NOT_NULL], "inputs": {"frame": pd.DataFrame}, **options}
    return GreatExpectationsTask(**given)


def payload(*expectations: Any, **options: Any) -> Any:
    declaration = TaskDeclaration(
        name="check",
        config=GreatExpectationsConfig(tuple(expectations), **options),
        python_inputs={"frame": pd.DataFrame},
        body="none",
    )
    return GreatExpectationsTaskType().compile(declaration)


def test_a_validation_gives_a_typed_result() -> None:
    assert make().outputs == {"o0": ValidationResult}


@pytest.mark.parametrize(
    ("options", "place", "word"),
    [
        ({"on_failure": "explode"}, "check(on_failure)", "'raise', 'warn', 'return'"),
        ({"expectations": []}, "check(expectations)", "at least one"),
        ({"expectations": NOT_NULL}, "check(expectations)", "list"),
        ({"expectations": "column_values_to_not_be_null"}, "check(expectations)", "list"),
        ({"expectations": [NOT_NULL, 3]}, "check(expectations[1])", "not an expectation"),
        ({"expectations": [{"kwargs": {}}]}, "check(expectations[0])", "snake case"),
        ({"expectations": [{"type": "ExpectThis"}]}, "check(expectations[0])", "snake case"),
        ({"expectations": [{"type": "a", "kwargs": ["x"]}]}, "check(expectations[0] expect_a)", "by name"),
        ({"expectations": [{"type": "a", "column": "x"}]}, "check(expectations[0] expect_a)", "go into kwargs"),
        ({"expectations": [{"type": "a", "severity": "bad"}]}, "check(expectations[0] expect_a)", "critical"),
        ({"examples": -1}, "check(examples)", "whole number"),
        ({"examples": True}, "check(examples)", "whole number"),
        ({"inputs": {}}, "check(inputs)", "one dataset"),
        ({"inputs": {"frame": dict}}, "check(inputs)", "pandas.DataFrame"),
        ({"inputs": {"a": pd.DataFrame, "b": pd.DataFrame}}, "check(inputs)", "one dataset"),
        ({"inputs": pd.DataFrame}, "check(inputs)", "by name"),
        ({"inputs": {"frame": pd.DataFrame, "n": int}}, "check(inputs['n'])", "used by no expectation"),
        (
            {
                "expectations": [expect("a", x=parameter("n"))],
                "inputs": {"frame": pd.DataFrame, "n": list[int]},
            },
            "check(inputs['n'])",
            "scalars",
        ),
        ({"expectations": [expect("a", x=parameter("n"))]}, "check(expectations)", "'n'"),
    ],
)
def test_a_validation_that_can_never_run_is_refused(options: dict[str, Any], place: str, word: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make(**options)
    assert caught.value.place == place
    assert word in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal(1), b"x", object(), {1: 2}])
def test_an_argument_that_is_no_data_is_refused_with_its_path(value: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        expect("column_values_to_be_in_set", column="x", value_set=[value])
    assert caught.value.place == "expect_column_values_to_be_in_set.kwargs.value_set[0]"


def test_a_function_cannot_carry_the_configuration_of_a_validation() -> None:
    declaration = TaskDeclaration(name="f", config=GreatExpectationsConfig((NOT_NULL,)), body="function")
    with pytest.raises(DefinitionError, match="no function of its own"):
        GreatExpectationsTaskType().compile(declaration)


def test_every_form_of_an_expectation_is_the_same_data() -> None:
    import great_expectations.expectations as gxe

    forms = [
        expect("column_values_to_be_between", column="x", max_value=3.5, min_value=1.5),
        expect("expect_column_values_to_be_between", min_value=1.5, max_value=3.5, column="x"),
        Expectation("column_values_to_be_between", {"column": "x", "min_value": 1.5, "max_value": 3.5}),
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"min_value": 1.5, "column": "x", "max_value": 3.5},
        },
        gxe.ExpectColumnValuesToBeBetween(column="x", min_value=1.5, max_value=3.5),
    ]
    assert len({json.dumps(payload(form)) for form in forms}) == 1
    assert len(set(GreatExpectationsConfig(tuple(forms)).expectations)) == 1


def test_the_librarys_own_objects_keep_their_attributes() -> None:
    import great_expectations.expectations as gxe

    given = gxe.ExpectColumnValuesToNotBeNull(column="x", mostly=0.9, severity="warning", notes="why", meta={"a": 1})
    (found,) = payload(given)["expectations"]
    assert found["kwargs"] == {"column": "x", "mostly": 0.9}
    assert (found["severity"], found["notes"], found["meta"]) == ("warning", "why", {"a": 1})


def test_the_payload_is_the_same_bytes_for_sets_in_any_order_and_for_dates() -> None:
    one = payload(expect("a", column="x", value_set={"b", "a", "c"}, since=dt.datetime(2020, 1, 1), day=dt.date.min))
    two = payload(expect("a", column="x", day=dt.date.min, value_set=["a", "b", "c"], since=dt.datetime(2020, 1, 1)))
    assert json.dumps(one) == json.dumps(two)


def test_the_payload_changes_with_everything_that_changes_the_outcome() -> None:
    base = payload(NOT_NULL)
    others = [
        payload(NOT_NULL, on_failure="warn"),
        payload(NOT_NULL, examples=0),
        payload(expect("column_values_to_not_be_null", column="y")),
        payload(NOT_NULL, NOT_NULL),
    ]
    assert all(other != base for other in others)


def test_a_change_to_what_was_given_later_does_not_reach_the_suite() -> None:
    kwargs = {"column": "x", "value_set": ["a"]}
    expectation = Expectation("column_values_to_be_in_set", kwargs)
    kwargs["value_set"].append("b")  # type: ignore[attr-defined]
    assert expectation.kwargs["value_set"] == ["a"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"on_failure": "return"}, "'raise', 'warn'"),
        ({"side": "left"}, "both, reading, writing"),
        ({"examples": 1.5}, "whole number"),
        ({"expectations": []}, "at least one"),
        ({"expectations": [expect("a", x=parameter("n"))]}, "a type has none"),
    ],
)
def test_a_mark_that_can_never_work_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        GreatExpectationsType(**{"expectations": [NOT_NULL], **options})
    assert word in str(caught.value)


def test_a_mark_on_something_that_is_no_frame_is_refused_where_the_task_is_defined() -> None:
    with pytest.raises(DefinitionError) as caught:

        @task
        def wrong(x: Annotated[int, GreatExpectationsType([NOT_NULL])]) -> int:
            return x

    assert "wrong(x)" in (caught.value.place or "")
    assert "datasets" in str(caught.value)


def test_defining_a_validation_imports_neither_great_expectations_nor_pandas() -> None:
    program = (
        "import sys\n"
        "from flyte_plugin_greatexpectations import GreatExpectationsConfig, GreatExpectationsType, expect\n"
        "suite = [expect('column_values_to_not_be_null', column='x')]\n"
        "GreatExpectationsType(suite), GreatExpectationsConfig(tuple(suite))\n"
        "import flyte_plugin_greatexpectations.plugin\n"
        "print(sorted({'great_expectations', 'pandas', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "t",
    [
        Annotated[pd.DataFrame, kwtypes(name=str, age=int)],
        Annotated[StructuredDataset, kwtypes(name=str, age=int)],
        FlyteSchema[kwtypes(name=str, age=int)],
    ],
    ids=["pandas", "dataset", "schema"],
)
def test_a_column_that_the_type_does_not_declare_is_refused_when_the_task_is_defined(t: Any) -> None:
    wrong = expect("column_values_to_not_be_null", column="nam")
    with pytest.raises(DefinitionError) as caught:
        make(inputs={"frame": t}, expectations=[wrong])
    for word in ("'nam'", "did you mean 'name'?", "check(expectations)"):
        assert word in str(caught.value)
    fine = [
        expect("column_values_to_not_be_null", column="name"),
        expect("column_to_exist", column="nam"),
        expect("table_columns_to_match_ordered_list", column_list=["nam"]),
        expect("column_values_to_be_unique", column=parameter("which")),
    ]
    make(inputs={"frame": t, "which": str}, expectations=fine)


def test_a_mark_on_a_column_that_the_type_does_not_declare_is_refused() -> None:
    wrong = GreatExpectationsType([expect("compound_columns_to_be_unique", column_list=["name", "ag"])])
    with pytest.raises(DefinitionError, match="'ag'"):

        @task
        def takes(frame: Annotated[pd.DataFrame, kwtypes(name=str, age=int), wrong]) -> int:
            return 1
