"""What a validation does, as one piece of data: the suite, the place of the data, and what follows from the result."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from flytepath import Secret
from flytepath.plugin import DefinitionError

from flyte_plugin_greatexpectations.context_root import ContextRoot
from flyte_plugin_greatexpectations.datasets import (
    EXPECTED,
    check_columns,
    check_examples,
    check_has_engine,
    check_on_failure,
    is_dataset,
    kind_of,
)
from flyte_plugin_greatexpectations.requests import BatchRequestConfig, SQLSource
from flyte_plugin_greatexpectations.suite import Expectation, read_suite

Json = Any
OnFailure = Literal["raise", "warn", "return"]

_PARAMETER_TYPES: Final = (bool, int, float, str, dt.date, dt.datetime)
_TEMPLATE: Final = re.compile(r"\{\{\s*\.inputs\.(\w+)\s*\}\}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GreatExpectationsConfig:
    """What a :class:`GreatExpectationsTask` is configured with.

    Args:
        expectations: the suite, in any form that :func:`~flyte_plugin_greatexpectations.expect` and its siblings allow.
        on_failure: ``raise`` fails the task, ``warn`` logs a warning, ``return`` leaves it to who reads the result.
        examples: how many unexpected values are shown of each expectation; 0 where values must not be shown.
        suite: in place of ``expectations``, the name of a suite of the context root.
        root: the context root; ``None`` where nothing asks for one.
        source, asset, batch_definition: the data source of the context root that the data comes from, and what of it.
        batch: which batch, and how it is read.
        sql: a table or query of a database.
        checkpoint: a checkpoint of the context root, which says all of that itself.
        actions: what is done with the result, as the library's configuration of actions.
        file_name: the name under which a data source sees a file that is an input.
        spark: the Spark plugin's configuration, where Spark is to evaluate what is no frame, or has settings.

    Raises:
        DefinitionError: there is no expectation, one is malformed, or an option has no such value.
        ContextRootError: the context root does not hold what is named.
    """

    expectations: tuple[Expectation, ...] = ()
    on_failure: OnFailure = "raise"
    examples: int = 5
    suite: str = ""
    root: ContextRoot | None = None
    source: str = ""
    asset: str = ""
    batch_definition: str = ""
    batch: BatchRequestConfig = field(default_factory=BatchRequestConfig)
    sql: SQLSource | None = None
    checkpoint: str = ""
    actions: tuple[Mapping[str, Json], ...] = ()
    file_name: str = ""
    spark: Any = None

    def __post_init__(self) -> None:
        check_on_failure(self.on_failure, get_args(OnFailure), "on_failure")
        check_examples(self.examples, "examples")
        object.__setattr__(self, "actions", read_actions(self.actions, "actions"))
        places = [name for name in ("sql", "source", "checkpoint") if getattr(self, name)]
        if len(places) > 1:
            raise DefinitionError(
                "a validation takes its data from one place",
                place=places[-1],
                expected="one of sql, datasource_name and checkpoint",
                actual=" and ".join(places),
            )
        self._read_expectations()
        if self.source and self.root is not None:
            self.root.check_source(self.source, self.asset, self.batch_definition, "datasource_name")
        if (self.asset or self.batch_definition or self.batch.query) and not self.source:
            raise DefinitionError(
                "an asset, a batch definition and a runtime query belong to a data source",
                place="datasource_name",
                expected="the name of a data source of the context root",
                hint="SQLSource(connection_string, query=...) needs no context root",
            )

    def _read_expectations(self) -> None:
        if self.checkpoint:
            if self.expectations or self.suite:
                raise DefinitionError(
                    "a checkpoint has its own suites",
                    place="expectations" if self.expectations else "expectation_suite_name",
                    hint=f"leave it out, or leave out checkpoint={self.checkpoint!r}",
                )
            if self.root is not None:
                self.root.check_checkpoint(self.checkpoint, "checkpoint")
            return
        if self.suite and self.expectations and self.root is None:
            # Read from a payload: the suite was resolved when the task was compiled.
            object.__setattr__(self, "expectations", read_suite(self.expectations, "expectations"))
        elif self.suite and self.root is not None:
            if self.expectations and self.expectations != self.root.suite(self.suite, "expectation_suite_name"):
                raise DefinitionError(
                    "a validation has one suite",
                    place="expectations",
                    expected="one of expectations and expectation_suite_name",
                    actual="both",
                )
            object.__setattr__(self, "expectations", self.root.suite(self.suite, "expectation_suite_name"))
        else:
            object.__setattr__(self, "expectations", read_suite(self.expectations, "expectations"))

    def __hash__(self) -> int:
        return hash((self.expectations, self.suite, self.root, self.source, self.asset, self.checkpoint))

    @property
    def needs_project(self) -> bool:
        """Whether it runs in a context made of the context root, and not in an empty one."""
        return bool(self.source or self.checkpoint or (self.actions and self.root is not None))

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The secrets it asks for by itself."""
        given = self.sql.connection_string if self.sql is not None else None
        return (given,) if isinstance(given, Secret) else ()

    @property
    def parameters(self) -> set[str]:
        """The inputs that the expectations and the query refer to."""
        used = {name for expectation in self.expectations for name in expectation.parameters()}
        return used | self.query_parameters

    @property
    def query(self) -> str:
        """The query, wherever it was written."""
        return self.sql.query if self.sql is not None else self.batch.query

    @property
    def query_parameters(self) -> set[str]:
        """The inputs that the query refers to."""
        return set(_TEMPLATE.findall(self.query))

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The types of expectations, each with a column that it names."""
        return [(item.type, column) for item in self.expectations for column in item.columns()]

    def to_json(self) -> dict[str, Json]:
        """Canonical data: what nobody said is left out."""
        data: dict[str, Json] = {
            "expectations": [expectation.to_json() for expectation in self.expectations],
            "examples": self.examples,
            "on_failure": self.on_failure,
        }
        names = ("suite", "source", "asset", "batch_definition", "checkpoint", "file_name")
        data |= {name: value for name in names if (value := getattr(self, name))}
        if self.batch.to_json():
            data["batch"] = self.batch.to_json()
        if self.sql is not None:
            data["sql"] = self.sql.to_json()
        if self.actions:
            data["actions"] = [dict(action) for action in self.actions]
        if self.root is not None:
            data["root"] = {"given": self.root.given, "digest": self.root.digest()}
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Json], root: ContextRoot | None = None, spark: Any = None) -> Any:
        """The inverse of :meth:`to_json`; the context root is that of this machine."""
        names = ("suite", "source", "asset", "batch_definition", "checkpoint", "file_name")
        return cls(
            tuple(_expectation(item) for item in data["expectations"]),
            data["on_failure"],
            data["examples"],
            root=root,
            batch=BatchRequestConfig(**data.get("batch", {})),
            sql=SQLSource.from_json(data["sql"]) if "sql" in data else None,
            actions=tuple(data.get("actions", ())),
            spark=spark,
            **{name: data.get(name, "") for name in names},
        )


def _expectation(item: Mapping[str, Json]) -> Expectation:
    attributes = {key: value for key, value in item.items() if key not in ("type", "kwargs")}
    return Expectation(item["type"], item["kwargs"], attributes)


def dataset_input(config: GreatExpectationsConfig, inputs: Mapping[str, Any]) -> str:
    """The name of the input that is validated; empty where the data lies in a database or a data source.

    Raises:
        DefinitionError: there is none or more than one, or the other inputs are not those the expectations refer to.
    """
    if not isinstance(inputs, Mapping):
        raise DefinitionError("inputs are types by name", place="inputs", actual=repr(inputs)[:200])
    used = config.parameters
    datasets = [name for name, t in inputs.items() if is_dataset(t)]
    if config.source and not datasets:
        # A text names a file or a table of the data source.
        datasets = [name for name, t in inputs.items() if kind_of(t) == "text" and name not in used]
    for name, t in inputs.items():
        check_has_engine(t, f"inputs[{name!r}]")
    said = ", ".join(f"{name}: {getattr(t, '__name__', t)}" for name, t in inputs.items()) or "no inputs"
    optional = bool(config.sql is not None or config.source or config.checkpoint)
    if len(datasets) > 1 or (not datasets and not optional) or (datasets and config.sql is not None):
        raise DefinitionError(
            "a validation takes one dataset" if config.sql is None else "a table or query is validated where it lies",
            place="inputs",
            expected=f"one input, of type {EXPECTED}" if config.sql is None else "no dataset among the inputs",
            actual=said,
            hint="inputs={'frame': pd.DataFrame}" if config.sql is None else None,
        )
    others = {name: t for name, t in inputs.items() if name not in datasets}
    for name, t in others.items():
        in_query = name in config.query_parameters
        if not in_query and (t not in _PARAMETER_TYPES or name not in used):
            raise DefinitionError(
                f"input {name!r} has no part in the validation",
                place=f"inputs[{name!r}]",
                expected="next to the dataset only scalars that an expectation refers to with parameter(name), "
                "or a query with {{ .inputs.name }}",
                actual=f"{getattr(t, '__name__', t)}, " + ("used" if name in used else "used by no expectation"),
            )
    missing = sorted(used - set(others))
    if missing:
        raise DefinitionError(
            f"an expectation refers to the input {missing[0]!r}, which the task does not take",
            place="expectations",
            hint=f"add it: inputs={{{missing[0]!r}: float, ...}}",
        )
    if not datasets:
        return ""
    check_columns(config.columns, inputs[datasets[0]], "expectations")
    return datasets[0]


def read_actions(actions: Any, place: str) -> tuple[Mapping[str, Json], ...]:
    """Actions as data: dicts with their type and name, or objects of the library.

    Raises:
        DefinitionError: one is neither, or cannot be kept as data.
    """
    if isinstance(actions, str | Mapping) or not hasattr(actions, "__iter__"):
        raise DefinitionError("actions are given as a list", place=place, actual=repr(actions)[:200])
    found = []
    for index, item in enumerate(actions):
        to_json = getattr(item, "json", None)
        try:
            data = json.loads(to_json()) if callable(to_json) else json.loads(json.dumps(item))
        except (TypeError, ValueError) as error:
            raise DefinitionError(
                "an action cannot be kept as data", place=f"{place}[{index}]", actual=str(error)
            ) from error
        if not isinstance(data, dict) or not isinstance(data.get("type"), str):
            raise DefinitionError(
                "an action says its type",
                place=f"{place}[{index}]",
                expected='{"type": "slack", "name": "tell us", ...}, or an action of great_expectations.checkpoint',
                actual=repr(item)[:200],
            )
        data.setdefault("name", data["type"])
        found.append({key: data[key] for key in sorted(data) if data[key] is not None})
    return tuple(found)


def actions_of_checkpoint_params(params: Mapping[str, Any] | None) -> list[dict[str, Json]]:
    """flytekit's ``checkpoint_params`` as actions.

    Raises:
        DefinitionError: a parameter that has no meaning any more.
    """
    given = {} if params is None else dict(params)
    actions: list[dict[str, Json]] = list(given.pop("actions", ()))
    sites = given.pop("site_names", None)
    if sites not in (None, "none", []):
        names = [] if sites == "all" else [sites] if isinstance(sites, str) else list(sites)
        actions.insert(0, {"type": "update_data_docs", "name": "update_data_docs", "site_names": names})
    hook = given.pop("slack_webhook", None)
    notify_on, notify_with = given.pop("notify_on", None), given.pop("notify_with", None)
    if hook:
        slack = {"type": "slack", "name": "slack", "slack_webhook": hook, "notify_on": notify_on}
        actions.append(slack | {"notify_with": notify_with})
    if given:
        raise DefinitionError(
            f"{min(given)!r} is no parameter of a checkpoint",
            place="checkpoint_params",
            expected="actions, site_names, slack_webhook, notify_on, notify_with",
            hint="Great Expectations 1 takes actions=[...] in place of action_list",
        )
    return actions


def is_spark_config(config: Any) -> bool:
    """Whether it is the Spark plugin's configuration, told without importing it."""
    return any(base.__module__ == "flyte_plugin_spark.task" for base in type(config).__mro__)


def file_name_of(path: str | os.PathLike[str] | None) -> str:
    """The name under which a data source sees a file."""
    return "" if path is None else os.path.basename(os.fspath(path))  # noqa: PTH119 - it may be of another system
