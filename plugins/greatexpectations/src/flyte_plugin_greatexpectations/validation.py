"""The one place where Great Expectations is imported: importing this module takes seconds, and only who validates does.

A validation makes an ephemeral context of its own: nothing is written to disk, nothing is sent anywhere, and a project
that the user's code has opened in the same process is current again afterwards.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import enum
import json
import math
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from flyte_plugin_greatexpectations.deck import deck_of
from flyte_plugin_greatexpectations.errors import ExpectationError
from flyte_plugin_greatexpectations.result import ExpectationFailure, ValidationResult
from flyte_plugin_greatexpectations.suite import Expectation, restored

with warnings.catch_warnings():
    # The library imports what its own dependencies deprecate; nobody who validates data can act on that.
    warnings.simplefilter("ignore")
    import great_expectations as gx
    from great_expectations.data_context.data_context.context_factory import project_manager
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults
    from great_expectations.exceptions import DataContextRequiredError, GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

#: The library keeps its current project in a variable of the process.
_one_at_a_time = threading.Lock()
#: Longer texts are cut in messages; the deck has them whole.
_SHOWN: Final = 200
_POSITION: Final = "flytepath_position"
_COLUMNS: Final = ("column", "column_A", "column_B", "column_list")


@dataclass(frozen=True, slots=True)
class Validation:
    """A result, what could not be evaluated (a line each), and the report as HTML."""

    result: ValidationResult
    unevaluated: tuple[str, ...]
    deck: str

    def require_evaluated(self, place: str) -> None:
        """Raise :class:`ExpectationError` where an expectation could not be evaluated."""
        if self.unevaluated:
            count = len(self.unevaluated)
            raise ExpectationError(
                self.unevaluated[0] if count == 1 else f"{count} expectations could not be evaluated",
                place=place,
                actual="\n    ".join(self.unevaluated) if count > 1 else None,
                hint="the suite and the frame do not fit together; the deck shows all of it",
            )


def validate(
    frame: Any,
    expectations: Sequence[Expectation],
    *,
    suite: str,
    parameters: Mapping[str, Any] | None = None,
    examples: int = 5,
) -> Validation:
    """Hold ``frame`` against ``expectations``.

    Args:
        frame: a pandas data frame; it is not changed.
        expectations: the suite.
        suite: its name in the report.
        parameters: values for arguments that are ``{"$PARAMETER": name}``.
        examples: how many unexpected values are shown of each expectation, at most.

    Raises:
        ExpectationError: an expectation's type or arguments are unknown to the library.
    """
    # Arguments are read before anything is evaluated: a typing error in the last one should not cost a long run.
    specs = [_configuration(item, index, suite, parameters or {}) for index, item in enumerate(expectations)]
    with _one_at_a_time:
        outcomes = _outcomes(_evaluate(frame, [spec.to_domain_obj() for spec in specs], suite, examples))
    failures, unevaluated = [], []
    for spec, outcome in zip(specs, outcomes, strict=True):
        # As they were written: the library turns 0 into 0.0.
        arguments = _plain(spec.kwargs)
        if outcome["errors"]:
            unevaluated.append(_why_not(spec.type, arguments, outcome["errors"], frame))
        elif not outcome["success"]:
            failures.append(_failure(spec.type, arguments, outcome))
    failed = len(failures) + len(unevaluated)
    result = ValidationResult(
        success=not failed,
        evaluated=len(outcomes),
        successful=len(outcomes) - failed,
        failed=failed,
        failures=failures,
        engine=f"great_expectations {gx.__version__} (pandas)",
    )
    rows, columns = frame.shape
    deck = deck_of(suite, f"{rows} rows, {columns} columns", result, outcomes)
    return Validation(result, tuple(unevaluated), deck)


def _configuration(expectation: Expectation, index: int, suite: str, parameters: Mapping[str, Any]) -> Any:
    place = f"{suite}: expectation {index + 1}, {expectation.type}"
    try:
        get_expectation_impl(expectation.type)
    except GreatExpectationsError as error:
        known = list_registered_expectation_implementations()
        near = difflib.get_close_matches(expectation.type, known, n=1, cutoff=0.6)
        raise ExpectationError(
            f"there is no expectation {expectation.type!r}",
            place=place,
            hint=f"did you mean {near[0]!r}?"
            if near
            else "a custom expectation must be imported by the module that defines the task",
        ) from error
    attributes = restored(dict(expectation.attributes), {})
    # The library gives results in an order of its own; this leads back to ours.
    attributes["meta"] = {**attributes.get("meta", {}), _POSITION: index}
    configuration = ExpectationConfiguration(
        type=expectation.type, kwargs=restored(dict(expectation.kwargs), parameters), **attributes
    )
    try:
        configuration.to_domain_obj()
    except (ValueError, TypeError, GreatExpectationsError) as error:
        raise ExpectationError(
            f"the arguments of {expectation.type} do not fit: {_reasons(error)}",
            place=place,
            actual=json.dumps(expectation.to_json()["kwargs"]),
        ) from error
    return configuration


def _reasons(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if not callable(details):
        return str(error)
    return "; ".join(
        item["msg"] if item["loc"] == ("__root__",) else f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
        for item in details()
    )


@contextlib.contextmanager
def _ephemeral_context() -> Iterator[Any]:
    try:
        previous = project_manager.get_current_project()
    except DataContextRequiredError:
        previous = None
    config = DataContextConfig(
        # Data docs would be written to a temporary folder that nobody removes.
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars={"globally": False},
    )
    try:
        yield gx.get_context(mode="ephemeral", project_config=config)
    finally:
        project_manager.set_project(previous)


def _evaluate(frame: Any, expectations: list[Any], suite: str, examples: int) -> list[Any]:
    with _ephemeral_context() as context:
        asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
        batch = asset.add_batch_definition_whole_dataframe("whole").get_batch(batch_parameters={"dataframe": frame})
        found = batch.validate(
            gx.ExpectationSuite(name=suite, expectations=expectations),
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": examples},
        )
    return sorted(found.results, key=lambda item: int(item.expectation_config.meta[_POSITION]))


def _outcomes(results: list[Any]) -> list[dict[str, Any]]:
    """The library's results as plain data, in the order of the suite."""
    outcomes = []
    for item in results:
        configuration = item.expectation_config
        attributes = {key: getattr(configuration, key, None) for key in ("notes", "description", "severity")}
        outcomes.append(
            {
                "success": bool(item.success),
                "type": configuration.type,
                "kwargs": _plain({key: value for key, value in configuration.kwargs.items() if key != "batch_id"}),
                "attributes": _plain({key: value for key, value in attributes.items() if value}),
                "result": _plain(item.result or {}),
                "errors": _errors(item.exception_info or {}),
            }
        )
    return outcomes


def _errors(info: Mapping[str, Any]) -> list[str]:
    """The messages of what was raised: the library keeps one record, or one per metric."""
    records = [info] if "raised_exception" in info else [value for value in info.values() if isinstance(value, Mapping)]
    messages = [str(record.get("exception_message") or "") for record in records if record.get("raised_exception")]
    return list(dict.fromkeys(message.removeprefix("Error: ") for message in messages))


def _columns(kwargs: Mapping[str, Any]) -> list[str]:
    named = [kwargs[key] for key in _COLUMNS if isinstance(kwargs.get(key), str)]
    listed = kwargs.get("column_list")
    return named + [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else named


def _why_not(type: str, kwargs: Mapping[str, Any], errors: Sequence[str], frame: Any) -> str:
    there = [str(name) for name in frame.columns]
    missing = [name for name in _columns(kwargs) if name not in there]
    if not missing:
        return f"{type} could not be evaluated: {'; '.join(errors)}"
    names = ", ".join(map(repr, missing))
    near = difflib.get_close_matches(missing[0], there, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {_cut(', '.join(map(repr, there)))}"
    return f"{type}: the frame has no column {names}; {hint}"


def _failure(type: str, kwargs: Mapping[str, Any], outcome: Mapping[str, Any]) -> ExpectationFailure:
    found = outcome["result"]
    column = ", ".join(_columns(kwargs)) or None
    value, examples = found.get("observed_value"), found.get("partial_unexpected_list") or []
    observed = _text(value) if value is not None else ", ".join(map(_text, examples))
    count, percent = found.get("unexpected_count"), found.get("unexpected_percent")
    arguments = ", ".join(f"{key}={_text(value)}" for key, value in kwargs.items() if key not in _COLUMNS)
    facts = []
    if count is not None:
        facts.append(f"{count} unexpected" + (f" ({percent:.4g} %)" if percent is not None else ""))
    if observed:
        facts.append(("observed " if value is not None else "for example ") + _cut(observed))
    return ExpectationFailure(
        expectation=type,
        column=column,
        observed=observed,
        unexpected_count=count,
        unexpected_percent=float(percent) if percent is not None else None,
        message=(f"column {column!r}: " if column else "")
        + f"{type}({_cut(arguments)}): "
        + (", ".join(facts) or "not met"),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _plain(value: Any) -> Any:
    """``value`` as JSON that people can read; cells of a kind JSON does not know become their text."""
    if value is None or (isinstance(value, bool | int | str) and type(value) in (bool, int, str)):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, AbstractSet):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    to_python = getattr(value, "tolist", None)
    if callable(to_python):
        # numpy's arrays and scalars; a scalar of a kind Python does not know gives itself.
        inner = to_python()
        return _plain(inner) if type(inner) is not type(value) else str(inner)
    return str(value)
