"""The check at a task's boundary: a marker for ``Annotated``, and what the worker does where it finds one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from flytepath import current_context
from flytepath.plugin import BoundaryChecker, BoundaryContext, BoundaryReport, DefinitionError

from flyte_plugin_greatexpectations.configuration import (
    GreatExpectationsConfig,
    actions_of_checkpoint_params,
    file_name_of,
)
from flyte_plugin_greatexpectations.context_root import ContextRoot
from flyte_plugin_greatexpectations.datasets import (
    EXPECTED,
    bare,
    check_columns,
    check_has_engine,
    check_on_failure,
    kind_of,
)
from flyte_plugin_greatexpectations.requests import BatchRequestConfig
from flyte_plugin_greatexpectations.suite import Expectation

Side = Literal["both", "reading", "writing"]


@dataclass(frozen=True, slots=True)
class GreatExpectationsFlyteConfig:
    """What a :class:`GreatExpectationsType` is made of where a context root has the suite, in flytekit's words.

    Args:
        datasource_name: a data source of the context root; empty where the value itself is the data.
        expectation_suite_name: a suite of the context root.
        data_connector_name: the batch definition, what Great Expectations 1 has for connectors.
        data_asset_name: the asset of the data source.
        local_file_path: the name under which the data source sees a file.
        checkpoint_params: flytekit's parameters of a checkpoint, which become actions.
        batch_request_config: which batch, and how it is read.
        context_root_dir: the context root, relative to the module.

    Example:
        >>> GreatExpectationsFlyteConfig(expectation_suite_name="people").datasource_name
        ''
    """

    datasource_name: str = ""
    expectation_suite_name: str = ""
    data_connector_name: str = ""
    data_asset_name: str | None = None
    local_file_path: str | os.PathLike[str] | None = None
    checkpoint_params: Mapping[str, Any] | None = None
    batch_request_config: BatchRequestConfig | None = None
    context_root_dir: str | os.PathLike[str] | None = None


@dataclass(frozen=True, slots=True, init=False)
class GreatExpectationsType:
    """Marks a dataset that must meet expectations where a task takes or returns it.

    ``GreatExpectationsType[pd.DataFrame, GreatExpectationsFlyteConfig(...)]``, flytekit's way to write it, is
    ``Annotated[pd.DataFrame, GreatExpectationsType(GreatExpectationsFlyteConfig(...))]``.

    Args:
        expectations: what must hold; or a :class:`GreatExpectationsFlyteConfig`.
        expectation_suite_name: in place of ``expectations``, a suite of the context root.
        context_root_dir: the context root, relative to the module.
        on_failure: ``raise`` fails the attempt, ``warn`` lets the dataset pass with a warning.
        side: ``both`` checks wherever the type is written; ``reading`` only inputs, ``writing`` only outputs. What was
            found good when it was written is not looked at again where another task reads it with the same marker.
        examples: how many unexpected values are shown of each expectation.

    Raises:
        DefinitionError: there is no expectation, one is malformed, or an option has no such value.
        ContextRootError: the context root does not hold what is named.

    Example:
        >>> from typing import Annotated
        >>> import pandas as pd
        >>> from flyte_plugin_greatexpectations import GreatExpectationsType, expect
        >>> People = Annotated[
        ...     pd.DataFrame,
        ...     GreatExpectationsType(expectations=[expect("column_values_to_not_be_null", column="name")]),
        ... ]
    """

    configuration: GreatExpectationsConfig
    side: Side

    def __init__(
        self,
        expectations: GreatExpectationsFlyteConfig | Iterable[Expectation | Mapping[str, Any] | Any] = (),
        *,
        expectation_suite_name: str = "",
        context_root_dir: str | os.PathLike[str] | None = None,
        on_failure: Literal["raise", "warn"] = "raise",
        side: Side = "both",
        examples: int = 5,
    ) -> None:
        if isinstance(expectations, GreatExpectationsFlyteConfig):
            given, inline = expectations, ()
        else:
            given = GreatExpectationsFlyteConfig(
                expectation_suite_name=expectation_suite_name, context_root_dir=context_root_dir
            )
            inline = expectations  # type: ignore[assignment]
        check_on_failure(on_failure, ("raise", "warn"), "on_failure")
        if side not in get_args(Side):
            raise DefinitionError(
                "unknown side", place="side", expected="one of " + ", ".join(get_args(Side)), actual=repr(side)
            )
        asked = given.datasource_name or given.expectation_suite_name or given.context_root_dir is not None
        configuration = GreatExpectationsConfig(
            inline,
            on_failure,
            examples,
            suite=given.expectation_suite_name,
            root=ContextRoot.found(given.context_root_dir, "context_root_dir") if asked else None,
            source=given.datasource_name,
            asset=given.data_asset_name or "",
            batch_definition=given.data_connector_name,
            batch=given.batch_request_config or BatchRequestConfig(),
            actions=tuple(actions_of_checkpoint_params(given.checkpoint_params)),
            file_name=file_name_of(given.local_file_path),
        )
        for name in sorted(configuration.parameters):
            raise DefinitionError(
                f"the suite refers to an input {name!r}; a type has none",
                place="expectations",
                hint="write the value, or validate with a GreatExpectationsTask that takes the input",
            )
        object.__setattr__(self, "configuration", configuration)
        object.__setattr__(self, "side", side)

    def __class_getitem__(cls, item: Any) -> Any:
        t, config = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        if not isinstance(config, GreatExpectationsFlyteConfig):
            raise DefinitionError(
                "a validated type is a type and its configuration",
                place="GreatExpectationsType[...]",
                expected="GreatExpectationsType[FlyteFile, GreatExpectationsFlyteConfig(...)]",
                actual=repr(item)[:200],
            )
        return Annotated[t, cls(config)]


class GreatExpectationsChecker(BoundaryChecker):
    """Validates the values whose type carries a :class:`GreatExpectationsType`."""

    def validate_marker(self, marker: Any, t: Any) -> None:
        """Only datasets can be validated."""
        check_has_engine(t, "GreatExpectationsType")
        kind = kind_of(t)
        if kind is None or (kind == "text" and not marker.configuration.source):
            raise DefinitionError(
                "GreatExpectationsType marks datasets",
                expected=f"Annotated[T, GreatExpectationsType(...)], where T is {EXPECTED}",
                actual=str(getattr(bare(t), "__name__", t)),
            )
        check_columns(marker.configuration.columns, t, "GreatExpectationsType")

    def voucher(self, marker: Any) -> str | None:
        """The suite and what else decides; actions are for every boundary that asks for them."""
        config = marker.configuration
        return None if config.actions else json.dumps(config.to_json(), sort_keys=True)

    def check(self, value: Any, marker: Any, context: BoundaryContext) -> BoundaryReport:
        """Validate ``value``; what cannot be evaluated is refused whatever ``on_failure`` says."""
        from flyte_plugin_greatexpectations.batches import Request
        from flyte_plugin_greatexpectations.errors import ContextRootError, DataSourceError, ExpectationError
        from flyte_plugin_greatexpectations.library import own_folders
        from flyte_plugin_greatexpectations.validation import validate

        place = f"{context.task}({context.variable})"
        config = marker.configuration
        kind = kind_of(type(value))
        if kind in (None, "text") and not config.source:
            # A task may return the path where it declares a file.
            kind = "file" if isinstance(value, str | os.PathLike) else None
        if kind is None:
            told = f"Great Expectations has no engine for {type(value).__module__}.{type(value).__qualname__}"
            return BoundaryReport(passed=False, message=f"{told}; return what the task declares")
        try:
            with own_folders(current_context().working_directory) as scratch:
                validation = validate(Request(config, place, value=value, kind=kind, scratch=scratch))
        except (ExpectationError, DataSourceError, ContextRootError) as error:
            return BoundaryReport(passed=False, message=" ".join(filter(None, (error.message, error.hint))))
        result = validation.result
        messages = [*validation.unevaluated, *(failure.message for failure in result.failures), *validation.broken]
        undone = bool(validation.unevaluated or validation.broken)
        return BoundaryReport(
            passed=result.success and not undone,
            message="; ".join([result.summary(), *messages]),
            on_failure="raise" if undone else config.on_failure,
            details=validation.facts,
            decks=((f"Great Expectations: {context.variable} ({context.side})", validation.deck),),
        )
