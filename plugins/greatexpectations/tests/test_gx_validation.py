"""What a validation finds, says and raises, by the real library."""

from __future__ import annotations

import datetime as dt
import logging
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pytest
from flyte_plugin_greatexpectations import (
    ExpectationError,
    GreatExpectationsTask,
    ValidationFailedError,
    ValidationResult,
    expect,
    parameter,
)
from flytepath import task, workflow
from great_expectations.expectations.row_conditions import Column
from gx_attempt import Attempt

Attempts = Callable[[GreatExpectationsTask], Attempt]


def people() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": ["Ada", "Grace", None, "Joan"],
            "age": [36.0, 85.0, 41.0, -5.0],
            "born": pd.to_datetime(["1815-12-10", "1906-12-09", "1917-01-19", "1972-02-29"]),
        }
    )


def check(*expectations: Any, **options: Any) -> GreatExpectationsTask:
    given = {"name": "check", "expectations": list(expectations), "inputs": {"frame": pd.DataFrame}, **options}
    return GreatExpectationsTask(**given)


def test_a_frame_that_meets_its_expectations_passes() -> None:
    result = check(expect("column_values_to_not_be_null", column="age"), expect("table_row_count_to_equal", value=4))(
        frame=people()
    )
    assert (result.success, result.evaluated, result.successful, result.failed) == (True, 2, 2, 0)
    assert result.failures == []
    assert result.engine.startswith("great_expectations 1.24")


def test_a_failure_names_column_expectation_value_and_count_and_the_deck_is_there_first(attempt: Attempts) -> None:
    validation = attempt(
        check(
            expect("column_values_to_be_between", column="age", min_value=0),
            expect("table_row_count_to_equal", value=4),
            expect("column_values_to_not_be_null", column="name"),
        )
    )
    with pytest.raises(ValidationFailedError) as caught:
        validation.run(frame=people())
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.place == "check(frame)"
    first, second = (error.actual or "").splitlines()
    for word in ("'age'", "expect_column_values_to_be_between(min_value=0", "1 unexpected (25 %)", "-5.0"):
        assert word in first
    assert "'name'" in second
    assert "expect_column_values_to_be_between" in error.message
    assert "2 of 3 expectations not met" in validation.deck
    assert "expect_column_values_to_not_be_null" in validation.deck


def test_the_result_holds_each_failure_in_the_order_of_the_suite() -> None:
    result = check(
        expect("column_values_to_not_be_null", column="name"),
        expect("column_mean_to_be_between", column="age", min_value=50),
        expect("column_values_to_be_between", column="age", min_value=0, max_value=80),
        expect("column_values_to_not_be_null", column="name"),
        expect("table_columns_to_match_set", column_set=["name", "age"]),
        on_failure="return",
    )(frame=people())
    assert not result.success
    assert [(failure.expectation, failure.column) for failure in result.failures] == [
        ("expect_column_values_to_not_be_null", "name"),
        ("expect_column_mean_to_be_between", "age"),
        ("expect_column_values_to_be_between", "age"),
        ("expect_column_values_to_not_be_null", "name"),
        ("expect_table_columns_to_match_set", None),
    ]
    nulls, mean, between, *_ = result.failures
    assert (nulls.unexpected_count, nulls.unexpected_percent) == (1, 25.0)
    assert (mean.observed, mean.unexpected_count, mean.unexpected_percent) == ("39.25", None, None)
    assert (between.observed, between.unexpected_count, between.unexpected_percent) == ("85.0, -5.0", 2, 50.0)


def test_warn_logs_and_goes_on(caplog: pytest.LogCaptureFixture, attempt: Attempts) -> None:
    validation = attempt(check(expect("column_values_to_not_be_null", column="name"), on_failure="warn"))
    with caplog.at_level(logging.WARNING):
        result = validation.run(frame=people())
    assert not result.success
    assert "check(frame): 1 of 1 expectations not met" in caplog.text
    assert "'name'" in caplog.text


def test_return_says_nothing(caplog: pytest.LogCaptureFixture, attempt: Attempts) -> None:
    validation = attempt(check(expect("column_values_to_not_be_null", column="name"), on_failure="return"))
    assert not validation.run(frame=people()).success
    assert caplog.text == ""


@pytest.mark.parametrize("on_failure", ["raise", "warn", "return"])
def test_a_missing_column_is_named_whatever_on_failure_says(on_failure: str, attempt: Attempts) -> None:
    validation = attempt(check(expect("column_values_to_not_be_null", column="nome"), on_failure=on_failure))
    with pytest.raises(ExpectationError) as caught:
        validation.run(frame=people())
    assert "no column 'nome'; did you mean 'name'?" in caught.value.message
    assert caught.value.place == "check(frame)"
    assert "no column" in validation.deck or "does not exist" in validation.deck


def test_a_column_may_be_expected_to_exist() -> None:
    result = check(expect("column_to_exist", column="height"), on_failure="return")(frame=people())
    assert [failure.column for failure in result.failures] == ["height"]


def test_an_unknown_expectation_is_named_with_the_nearest() -> None:
    with pytest.raises(ExpectationError) as caught:
        check(expect("column_values_to_not_be_nul", column="name"))(frame=people())
    assert "'expect_column_values_to_not_be_nul'" in caught.value.message
    assert "'expect_column_values_to_not_be_null'" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("expectation", "word"),
    [
        (expect("column_values_to_not_be_null", column="name", bogus=1), "bogus"),
        (expect("column_values_to_not_be_null"), "column"),
        (expect("column_values_to_be_between", column="age"), "min_value"),
    ],
)
def test_arguments_that_do_not_fit_are_named(expectation: Any, word: str) -> None:
    with pytest.raises(ExpectationError) as caught:
        check(expectation)(frame=people())
    assert word in caught.value.message
    assert expectation.type in str(caught.value)


def test_what_cannot_be_evaluated_is_an_error_and_no_pass() -> None:
    with pytest.raises(ExpectationError, match="could not be evaluated"):
        check(expect("column_values_to_be_between", column="name", min_value=1), on_failure="return")(frame=people())


def test_arguments_may_be_dates() -> None:
    result = check(
        expect("column_values_to_be_between", column="born", min_value=dt.datetime(1900, 1, 1)),
        expect("column_values_to_be_in_set", column="born", value_set=[dt.datetime(1972, 2, 29)], mostly=0.2),
        on_failure="return",
    )(frame=people())
    assert [failure.unexpected_count for failure in result.failures] == [1]


def test_arguments_may_come_from_inputs() -> None:
    validation = GreatExpectationsTask(
        name="check_size",
        expectations=[expect("table_row_count_to_be_between", min_value=parameter("at_least"))],
        inputs={"frame": pd.DataFrame, "at_least": int},
        on_failure="return",
    )
    assert validation(frame=people(), at_least=4).success
    assert not validation(frame=people(), at_least=5).success


class ExpectAnAge(gxe.ExpectColumnValuesToBeBetween):
    """An expectation of the user's own."""

    min_value: float = 0
    max_value: float = 130


def test_expectations_of_the_users_own_are_known(attempt: Attempts) -> None:
    validation = attempt(check(ExpectAnAge(column="age"), expect("an_age", column="age"), on_failure="return"))
    assert [failure.expectation for failure in validation.run(frame=people()).failures] == ["expect_an_age"] * 2


def test_a_row_condition_chooses_the_rows(attempt: Attempts) -> None:
    expectation = gxe.ExpectColumnValuesToBeBetween(column="age", max_value=40, row_condition=Column("age") < 80)
    validation = attempt(check(expectation, on_failure="return"))
    (failure,) = validation.run(frame=people()).failures
    assert (failure.unexpected_count, failure.observed) == (1, "41.0")
    assert "Evaluated Expectations" in validation.deck


def test_no_value_is_shown_where_none_may_be(attempt: Attempts) -> None:
    frame = pd.DataFrame({"mail": ["secret@example.org", "other@example.org"]})
    expectation = expect("column_values_to_match_regex", column="mail", regex="^[0-9]+$")
    validation = attempt(check(expectation, examples=0, on_failure="return"))
    (failure,) = validation.run(frame=frame).failures
    assert failure.unexpected_count == 2
    assert "example.org" not in validation.deck + failure.observed + failure.message


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (Decimal("1.5"), "1.5"),
        (b"\x07", "b'\\x07'"),
        (pd.Timedelta("1s"), "0 days 00:00:01"),
        (pd.Interval(0, 1), "(0, 1]"),
        (np.int8(3), "3"),
        (np.float64("inf"), "inf"),
        (dt.time(1), "01:00:00"),
        (["a", 1], '["a", 1]'),
        ({"a": 1}, '{"a": 1}'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_cells_of_every_kind_can_be_shown(cell: Any, shown: str, attempt: Attempts) -> None:
    frame = pd.DataFrame({"x": pd.Series([cell, cell], dtype=object)})
    expectation = expect("column_values_to_be_null", column="x")
    validation = attempt(check(expectation, on_failure="return"))
    (failure,) = validation.run(frame=frame).failures
    assert failure.observed == f"{shown}, {shown}"


def test_an_empty_frame_can_be_validated() -> None:
    result = check(expect("column_values_to_not_be_null", column="name"))(frame=people().iloc[:0])
    assert result.success


def test_the_frame_is_not_changed(attempt: Attempts) -> None:
    frame = people()
    for column in frame.select_dtypes("number"):
        frame[column].to_numpy().flags.writeable = False
    before = frame.copy(deep=True)
    attempt(
        check(
            expect("column_values_to_not_be_null", column="name"),
            expect("compound_columns_to_be_unique", column_list=["name", "age"]),
            on_failure="return",
        )
    ).run(frame=frame)
    pd.testing.assert_frame_equal(frame, before)


def test_validations_in_many_threads_do_not_mix_up_their_frames() -> None:
    validation = check(expect("table_row_count_to_equal", value=0), on_failure="return")

    def rows(count: int) -> str:
        return validation(frame=pd.DataFrame({"x": range(count)})).failures[0].observed

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(rows, range(1, 13))) == [str(count) for count in range(1, 13)]


def test_a_project_the_user_has_opened_is_current_again_afterwards() -> None:
    import great_expectations as gx
    from great_expectations.data_context.data_context.context_factory import project_manager

    own = gx.get_context(mode="ephemeral")
    try:
        check(expect("table_row_count_to_equal", value=4))(frame=people())
        assert project_manager.get_current_project() is own
    finally:
        project_manager.set_project(None)


def test_nothing_is_written_connected_to_or_printed() -> None:
    program = """
import sys
sys.dont_write_bytecode = True
import pandas as pd
from flyte_plugin_greatexpectations import expect
from flyte_plugin_greatexpectations.batches import Request
from flyte_plugin_greatexpectations.configuration import GreatExpectationsConfig
from flyte_plugin_greatexpectations.validation import validate

seen = []
watched = "os.mkdir os.rename tempfile.mkdtemp tempfile.mkstemp socket.connect socket.getaddrinfo".split()
def hook(event, arguments):
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append(arguments[0])
    elif event in watched:
        seen.append((event, arguments))
sys.addaudithook(hook)
suite = [expect("column_values_to_not_be_null", column="x"), expect("table_row_count_to_equal", value=3)]
frame = pd.DataFrame({"x": [1.0, None]})
assert not validate(Request(GreatExpectationsConfig(suite), "quiet", frame, "pandas")).result.success
print(seen)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


check_ages = GreatExpectationsTask(
    name="check_ages",
    expectations=[expect("column_values_to_be_between", column="age", max_value=130)],
    inputs={"frame": pd.DataFrame},
)


@task
def load() -> pd.DataFrame:
    return people()


@task
def describe(frame: pd.DataFrame, checked: ValidationResult) -> str:
    return f"{len(frame)} rows, {checked.summary()}"


@workflow
def validated() -> str:
    frame = load()
    return describe(frame=frame, checked=check_ages(frame=frame))


def test_a_validation_is_a_node_of_a_workflow() -> None:
    assert validated() == "4 rows, all 1 expectations met"


def test_a_column_of_which_there_are_several_is_not_looked_at() -> None:
    twice = pd.DataFrame([[1, 2]], columns=["age", "age"])
    with pytest.raises(ExpectationError, match="names the column 'age', of which the frame has 2"):
        check(expect("column_values_to_not_be_null", column="age"))(frame=twice)
    assert check(expect("table_row_count_to_equal", value=1))(frame=twice).success
