"""The task that validates a dataset: the class users write, and the task type that runs it."""

from __future__ import annotations

import importlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flytepath import FlyteFile, PythonInstanceTask, Secret, current_context
from flytepath.plugin import DefinitionError, Statement, TaskContext, TaskDeclaration, TaskType

from flyte_plugin_greatexpectations.configuration import (
    GreatExpectationsConfig,
    OnFailure,
    actions_of_checkpoint_params,
    dataset_input,
    file_name_of,
    is_spark_config,
)
from flyte_plugin_greatexpectations.context_root import ContextRoot
from flyte_plugin_greatexpectations.datasets import kind_of
from flyte_plugin_greatexpectations.errors import ContextRootError, ValidationFailedError
from flyte_plugin_greatexpectations.requests import BatchRequestConfig, SQLSource
from flyte_plugin_greatexpectations.result import ValidationResult
from flyte_plugin_greatexpectations.suite import Expectation

if TYPE_CHECKING:
    from flyte_plugin_greatexpectations.validation import Validation

log = logging.getLogger(__name__)

#: The deck's name.
DECK: Final = "Great Expectations"
_REPORT: Final = "great_expectations.json"


class GreatExpectationsTask(PythonInstanceTask):
    """Validates a dataset against expectations.

    Called in a workflow it is a node whose output is a :class:`~flyte_plugin_greatexpectations.ValidationResult`;
    a task that takes the result runs only after the validation. Assign it to a module variable.

    Args:
        name: the task's name; also the suite's in the report.
        datasource_name: a data source of the context root, where the dataset is a file or table of one.
        expectation_suite_name: a suite of the context root, in place of ``expectations``.
        data_connector_name: the batch definition of the data source, what Great Expectations 1 has for connectors.
        inputs: one dataset, and any scalars that expectations refer to with ``parameter(name)`` or a query with
            ``{{ .inputs.name }}``. A dataset is a pandas or Spark frame, a file, or a structured dataset.
        data_asset_name: the asset of the data source.
        outputs: the result under another name than ``o0``.
        local_file_path: the name under which a data source sees a file.
        checkpoint_params: flytekit's parameters of a checkpoint, which become actions.
        task_config: which batch, and how it is read; or the Spark plugin's configuration.
        context_root_dir: the context root, relative to the module; by default ``gx`` or ``great_expectations`` there.
        expectations: what must hold.
        sql: a table or query of a database, in place of a dataset among the inputs.
        checkpoint: a checkpoint of the context root, in place of all of that.
        actions: what is done with the result, as objects of the library or their configuration.
        on_failure: ``raise``, ``warn`` or ``return``.
        examples: how many unexpected values are shown of each expectation.
        metadata: ``retries``, ``timeout`` and what else every task takes.

    Raises:
        DefinitionError: when it is defined, if it can never run.
        ContextRootError: when it is defined, if the context root does not hold what is named.
        ValidationFailedError: when it runs, with ``on_failure="raise"``.
        ExpectationError: when it runs, if an expectation or a column it names does not exist.
        DataSourceError: when it runs, if the data cannot be read.
        ActionFailedError: when it runs, if an action failed.

    Example:
        >>> import pandas as pd
        >>> from flyte_plugin_greatexpectations import GreatExpectationsTask, expect
        >>> check = GreatExpectationsTask(
        ...     name="check_ages",
        ...     expectations=[expect("column_values_to_be_between", column="age", min_value=0, max_value=130)],
        ...     inputs={"people": pd.DataFrame},
        ... )
        >>> check(people=pd.DataFrame({"age": [30, 41]})).success
        True
    """

    def __init__(
        self,
        name: str,
        datasource_name: str = "",
        expectation_suite_name: str = "",
        data_connector_name: str = "",
        inputs: Mapping[str, Any] | None = None,
        data_asset_name: str | None = None,
        outputs: Mapping[str, Any] | None = None,
        local_file_path: str | os.PathLike[str] | None = None,
        checkpoint_params: Mapping[str, Any] | None = None,
        task_config: Any = None,
        context_root_dir: str | os.PathLike[str] | None = None,
        *,
        expectations: Iterable[Expectation | Mapping[str, Any] | Any] = (),
        sql: SQLSource | None = None,
        checkpoint: str = "",
        actions: Iterable[Any] = (),
        on_failure: OnFailure = "raise",
        examples: int = 5,
        **metadata: Any,
    ) -> None:
        try:
            batch, spark = _read_task_config(task_config)
            asked = datasource_name or expectation_suite_name or checkpoint or context_root_dir is not None
            config = GreatExpectationsConfig(
                expectations,  # type: ignore[arg-type]  # any form of them; the configuration reads it
                on_failure,
                examples,
                suite=expectation_suite_name,
                root=ContextRoot.found(context_root_dir, "context_root_dir") if asked else None,
                source=datasource_name,
                asset=data_asset_name or "",
                batch_definition=data_connector_name,
                batch=batch,
                sql=sql,
                checkpoint=checkpoint,
                actions=(*actions_of_checkpoint_params(checkpoint_params), *actions),
                file_name=file_name_of(local_file_path),
                spark=spark,
            )
            given: Mapping[str, Any] = {} if inputs is None else inputs
            dataset_input(config, given)
            result = _read_outputs(outputs)
        except DefinitionError as error:
            error.place = f"{name}({error.place})" if error.place else name
            raise
        asked_for = list(metadata.pop("secret_requests", None) or ())
        asked_for += [secret for secret in config.secrets if secret not in asked_for]
        if asked_for:
            metadata["secret_requests"] = asked_for
        super().__init__(name, config, given, result, **metadata)
        if config.query:
            _statement(config, self.declaration())


class GreatExpectationsTaskType(TaskType):
    """Runs :class:`GreatExpectationsTask`: the same code in a direct call and in a worker."""

    def compile(self, declaration: TaskDeclaration) -> dict[str, Any]:
        """The suite, and where the data is, as canonical data."""
        config = _config(declaration)
        dataset = dataset_input(config, declaration.python_inputs)
        payload = {**config.to_json(), "dataset": dataset}
        if config.query:
            payload["statement"] = _statement(config, declaration).to_json()
        if config.spark is not None or kind_of(declaration.python_inputs.get(dataset)) == "spark":
            from flyte_plugin_greatexpectations.spark import spark_payload

            payload["spark"] = spark_payload(config.spark, declaration.name)
        return payload

    def around(self, context: TaskContext) -> AbstractContextManager[object]:
        """A Spark session where Spark frames are validated."""
        payload = context.payload or self.compile(context.declaration)
        if "spark" not in payload:
            return nullcontext()
        from flyte_plugin_greatexpectations.spark import session_around

        return session_around(context, payload["spark"])

    def execute(self, context: TaskContext, inputs: Mapping[str, Any], call_body: Any) -> ValidationResult:
        """Validate, keep the deck and the report, and only then fail."""
        from flyte_plugin_greatexpectations.batches import Request
        from flyte_plugin_greatexpectations.library import own_folders
        from flyte_plugin_greatexpectations.validation import validate

        # What was compiled, not what the module declares: a node may have overridden it.
        payload = context.payload or self.compile(context.declaration)
        declaration, dataset = context.declaration, payload["dataset"]
        config: GreatExpectationsConfig = GreatExpectationsConfig.from_json(
            payload, _root_of(context, payload), payload.get("spark")
        )
        with own_folders(context.working_directory) as scratch:
            validation = validate(
                Request(
                    config,
                    declaration.name,
                    value=inputs[dataset] if dataset else None,
                    kind=kind_of(declaration.python_inputs[dataset]) if dataset else None,
                    parameters={name: value for name, value in inputs.items() if name != dataset},
                    statement=Statement.from_json(payload["statement"]) if "statement" in payload else None,
                    scratch=scratch,
                    secret=_secret,
                )
            )
        context.add_deck(DECK, validation.deck)
        place = f"{declaration.name}({dataset})" if dataset else declaration.name
        return _concluded(context, config, validation, place)


def _concluded(
    context: TaskContext, config: GreatExpectationsConfig, validation: Validation, place: str
) -> ValidationResult:
    """The result with its report, or the error that the configuration asks for."""
    result = validation.result
    failed = not result.success and config.on_failure == "raise"
    if failed or validation.unevaluated or validation.broken:
        kept = _kept_beside_outputs(context, validation.facts)
        validation.require_evaluated(place)
        if not failed:
            validation.require_actions(place)
        lines = [failure.message for failure in result.failures]
        error = ValidationFailedError(
            f"{result.summary()}: {lines[0]}",
            place=place,
            expected=f"all {result.evaluated} expectations met",
            actual="\n    ".join(lines),
            hint=f"the deck {DECK!r} of this attempt shows the whole result; as data it is {kept}",
        )
        for line in validation.broken:
            error.add_note(line)
        raise error
    if not result.success and config.on_failure == "warn":
        log.warning(
            "%s: %s\n  %s", place, result.summary(), "\n  ".join(failure.message for failure in result.failures)
        )
    report = context.working_directory / _REPORT
    report.write_text(_text(validation.facts), encoding="utf-8")
    return replace(result, report=FlyteFile(str(report)))


def _text(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)


def _kept_beside_outputs(context: TaskContext, facts: Mapping[str, Any]) -> str:
    """Where the report lies of an attempt that has no outputs."""
    fsspec = importlib.import_module("fsspec")
    place = f"{str(context.raw_output_prefix).rstrip('/')}/{_REPORT}"
    try:
        with fsspec.open(place, "w", encoding="utf-8", auto_mkdir=True) as out:
            out.write(_text(facts))
    except (OSError, ValueError, ImportError) as error:
        log.warning("the report cannot be kept at %s: %s", place, error)
        return "not kept: " + str(error)
    return place


def _secret(secret: Secret) -> str:
    return str(current_context().secrets.get(secret.group, secret.key, secret.group_version))


def _root_of(context: TaskContext, payload: Mapping[str, Any]) -> ContextRoot | None:
    """The context root on this machine, which is the one that the task was compiled with."""
    known = payload.get("root")
    if known is None:
        return None
    declared: ContextRoot | None = getattr(context.declaration.config, "root", None)
    candidates = [declared] if declared is not None and declared.given == known["given"] else []
    bases = [base for base in (context.code_path, Path.cwd()) if base is not None]
    candidates += [ContextRoot(known["given"], base / known["given"]) for base in bases]
    for root in candidates:
        if root.folder.is_dir() and root.digest() == known["digest"]:
            return root
    raise ContextRootError(
        f"the context root {known['given']!r} is not what the task was compiled with",
        place=context.declaration.name,
        expected="the same files, below the folder of the workflow's code, from where they travel with it",
        actual=", ".join(str(root.folder) for root in candidates),
        hint="compile the workflow again; a context root elsewhere has to be there on every machine",
    )


def _read_task_config(given: Any) -> tuple[BatchRequestConfig, Any]:
    if given is None:
        return BatchRequestConfig(), None
    if isinstance(given, BatchRequestConfig):
        return given, None
    if is_spark_config(given):
        return BatchRequestConfig(), given
    raise DefinitionError(
        "a validation is configured by its own arguments",
        place="task_config",
        expected="BatchRequestConfig(...), or Spark(...) of the Spark plugin",
        actual=repr(given)[:200],
    )


def _read_outputs(outputs: Mapping[str, Any] | None) -> dict[str, Any]:
    if not outputs:
        return {"o0": ValidationResult}
    if len(outputs) != 1 or next(iter(outputs.values())) is not ValidationResult:
        raise DefinitionError(
            "a validation gives its result",
            place="outputs",
            expected="nothing, or kwtypes(name=ValidationResult)",
            actual=", ".join(f"{name}: {getattr(t, '__name__', t)}" for name, t in outputs.items()),
        )
    return dict(outputs)


def _statement(config: GreatExpectationsConfig, declaration: TaskDeclaration) -> Statement:
    used = config.query_parameters
    inputs = {name: t for name, t in declaration.inputs.items() if name in used}
    python_inputs = {name: t for name, t in declaration.python_inputs.items() if name in used}
    place = f"{declaration.name}({'sql' if config.sql is not None else 'task_config'})"
    source = config.sql or SQLSource("batch://", query=config.query)
    return source.statement(inputs, python_inputs, place)


def _config(declaration: TaskDeclaration) -> GreatExpectationsConfig:
    config = declaration.config
    if not isinstance(config, GreatExpectationsConfig):
        raise DefinitionError(
            "a validation is configured by GreatExpectationsConfig", place=declaration.name, actual=repr(config)[:200]
        )
    if declaration.body != "none":
        raise DefinitionError(
            "a validation has no function of its own",
            place=declaration.name,
            hint="use GreatExpectationsTask(...); to check what a function takes or returns, annotate it with "
            "Annotated[pd.DataFrame, GreatExpectationsType(...)]",
        )
    return config
