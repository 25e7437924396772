"""The table: which names of flytekit 1.16 and its plugins are carried over, and what to say of those that are not.

Plain data, to be read and corrected by people. All names of core keep their spelling and come from ``flytepath``
itself; plugins' names come from the plugin's package. Installed plugins add to the table with ``flytepath_migrations``.
"""

from __future__ import annotations

from typing import Final

_EXCEPTIONS: Final = (
    "FlyteRecoverableException FlyteMissingReturnValueException FlyteInvalidInputException FlyteValidationException "
    "FlyteAssertion FlyteUserException FlyteTypeException FlyteValueException FlyteMissingTypeException FlyteTimeout "
    "FlyteDisapprovalException"
)
_FILES: Final = (
    "FlyteFile CSVFile HDF5EncodedFile HTMLPage JoblibSerializedFile JPEGImageFile JSONLFile ONNXFile PDFFile "
    "PNGImageFile PythonNotebook PythonPickledFile SVGImageFile TFRecordFile"
)
_ACCELERATORS: Final = (
    "GPUAccelerator A10G A100 A100_80GB H100 H200 K80 L4 L4_VWS L40S M60 P4 P100 RTX_PRO_6000 T4 V100 V5E V5P V6E"
)
_SETTINGS: Final = (
    "Resources TaskMetadata PodTemplate ImageSpec Secret Cache CachePolicy VersionParameters HashMethod BatchSize "
    "WorkflowFailurePolicy Options Labels Annotations ConcurrencyPolicy ConcurrencyLimitBehavior Documentation "
    "Description SourceCode"
)
_TASKS: Final = (
    "task workflow dynamic map_task eager conditional create_node ImperativeWorkflow Workflow Echo ContainerTask "
    "SQLTask PythonTask PythonFunctionTask PythonInstanceTask Environment reference_task reference_workflow "
    "reference_launch_plan approve sleep wait_for_input kwtypes NodeOutput"
)
_RUNNING: Final = (
    "LaunchPlan CronSchedule FixedRate Email Slack PagerDuty WorkflowExecutionPhase current_context Checkpoint "
    "Artifact Deck FlyteFile FlyteDirectory StructuredDataset Blob Literal LiteralType get_reference_entity"
)

#: Module of flytekit -> its names that are importable from ``flytepath`` under the same spelling.
CORE: Final[dict[str, str]] = {
    "flytekit": f"{_TASKS} {_SETTINGS} {_RUNNING}",
    "flytekit.core": "",
    "flytekit.core.array_node_map_task": "map_task",
    "flytekit.core.artifact": "Artifact",
    "flytekit.core.base_sql_task": "SQLTask",
    "flytekit.core.base_task": "kwtypes TaskMetadata PythonTask",
    "flytekit.core.cache": "Cache CachePolicy VersionParameters",
    "flytekit.core.checkpointer": "Checkpoint",
    "flytekit.core.condition": "conditional",
    "flytekit.core.container_task": "ContainerTask",
    "flytekit.core.dynamic_workflow_task": "dynamic",
    "flytekit.core.environment": "Environment",
    "flytekit.core.gate": "approve sleep wait_for_input",
    "flytekit.core.hash": "HashMethod",
    "flytekit.core.launch_plan": "LaunchPlan reference_launch_plan",
    "flytekit.core.legacy_map_task": "map_task",
    "flytekit.core.map_task": "map_task",
    "flytekit.core.node_creation": "create_node",
    "flytekit.core.notification": "Email Slack PagerDuty",
    "flytekit.core.options": "Options",
    "flytekit.core.pod_template": "PodTemplate",
    "flytekit.core.promise": "NodeOutput",
    "flytekit.core.python_function_task": "PythonFunctionTask PythonInstanceTask",
    "flytekit.core.reference": "get_reference_entity",
    "flytekit.core.resources": "Resources",
    "flytekit.core.schedule": "CronSchedule FixedRate",
    "flytekit.core.task": "task reference_task Echo eager",
    "flytekit.core.testing": "task_mock patch",
    "flytekit.core.type_engine": "TypeEngine TypeTransformer TypeTransformerFailedError BatchSize",
    "flytekit.core.workflow": "workflow WorkflowFailurePolicy ImperativeWorkflow reference_workflow",
    "flytekit.deck": "Deck DeckField MarkdownRenderer SourceCodeRenderer TopFrameRenderer PythonDependencyRenderer",
    "flytekit.deck.deck": "Deck DeckField",
    "flytekit.deck.renderer": "MarkdownRenderer SourceCodeRenderer TopFrameRenderer PythonDependencyRenderer",
    "flytekit.exceptions": "",
    "flytekit.exceptions.base": "FlyteException FlyteRecoverableException",
    "flytekit.exceptions.eager": "EagerException",
    "flytekit.exceptions.user": _EXCEPTIONS,
    "flytekit.experimental": "eager EagerException",
    "flytekit.experimental.eager_function": "eager EagerException",
    "flytekit.extend": "TypeEngine TypeTransformer PythonTask SQLTask",
    "flytekit.extras": "",
    "flytekit.extras.accelerators": _ACCELERATORS,
    "flytekit.extras.sqlite3": "SQLite3Task SQLite3Config",
    "flytekit.extras.sqlite3.task": "SQLite3Task SQLite3Config",
    "flytekit.extras.tasks": "",
    "flytekit.extras.tasks.shell": "ShellTask OutputLocation",
    "flytekit.image_spec": "ImageSpec",
    "flytekit.image_spec.image_spec": "ImageSpec",
    "flytekit.models.common": "Labels Annotations",
    "flytekit.models.concurrency": "ConcurrencyPolicy ConcurrencyLimitBehavior",
    "flytekit.models.core.execution": "WorkflowExecutionPhase",
    "flytekit.models.documentation": "Documentation Description SourceCode",
    "flytekit.models.literals": "Literal Blob",
    "flytekit.models.security": "Secret",
    "flytekit.models.types": "LiteralType",
    "flytekit.sensor": "BaseSensor FileSensor",
    "flytekit.sensor.base_sensor": "BaseSensor",
    "flytekit.sensor.file_sensor": "FileSensor",
    "flytekit.testing": "task_mock patch",
    "flytekit.types": "",
    "flytekit.types.directory": "FlyteDirectory TensorboardLogs TFRecordsDirectory",
    "flytekit.types.directory.types": "FlyteDirectory",
    "flytekit.types.error": "FlyteError",
    "flytekit.types.error.error": "FlyteError",
    "flytekit.types.file": _FILES,
    "flytekit.types.file.file": "FlyteFile",
    "flytekit.types.iterator": "FlyteIterator JSON",
    "flytekit.types.iterator.iterator": "FlyteIterator",
    "flytekit.types.iterator.json_iterator": "JSON",
    "flytekit.types.pickle": "FlytePickle",
    "flytekit.types.pickle.pickle": "FlytePickle",
    "flytekit.types.schema": "FlyteSchema",
    "flytekit.types.schema.types": "FlyteSchema",
    "flytekit.types.structured": "StructuredDataset",
    "flytekit.types.structured.basic_dfs": "CSV PARQUET",
    "flytekit.types.structured.structured_dataset": "StructuredDataset CSV PARQUET",
}

_PYTORCH: Final = "PyTorch Elastic Master Worker RunPolicy CleanPodPolicy RestartPolicy"
_SAGEMAKER: Final = (
    "BotoConfig BotoTask SageMakerModelTask SageMakerEndpointConfigTask SageMakerEndpointTask "
    "SageMakerDeleteEndpointConfigTask SageMakerDeleteEndpointTask SageMakerDeleteModelTask "
    "SageMakerInvokeEndpointTask create_sagemaker_deployment delete_sagemaker_deployment"
)
_SAGEMAKER_TRAINING: Final = (
    "AlgorithmSpecification InputContentType InputMode MetricDefinition SagemakerBuiltinAlgorithmsTask "
    "SagemakerTrainingJobConfig TrainingJobResourceConfig"
)

#: Package of flytekitplugins -> (the package that takes its place, the names it carries over); ``old=new`` where a name
#: is another there.
#: Modules within a package count as the package.
PLUGINS: Final[dict[str, tuple[str, str]]] = {
    "flytekitplugins.athena": ("flyte_plugin_athena", "AthenaConfig AthenaTask"),
    "flytekitplugins.awsbatch": ("flyte_plugin_awsbatch", "AWSBatchConfig"),
    "flytekitplugins.awssagemaker": ("flyte_plugin_sagemaker", _SAGEMAKER_TRAINING),
    "flytekitplugins.awssagemaker_inference": ("flyte_plugin_sagemaker", _SAGEMAKER),
    "flytekitplugins.bigquery": ("flyte_plugin_bigquery", "BigQueryConfig BigQueryTask"),
    "flytekitplugins.dask": ("flyte_plugin_dask", "Dask Scheduler WorkerGroup"),
    "flytekitplugins.deck": (
        "flytepath",
        "BoxRenderer FrameProfilingRenderer GanttChartRenderer ImageRenderer MarkdownRenderer SourceCodeRenderer "
        "TableRenderer",
    ),
    "flytekitplugins.dolt": ("flyte_plugin_dolt", "DoltConfig DoltTable"),
    "flytekitplugins.great_expectations": (
        "flyte_plugin_greatexpectations",
        "BatchRequestConfig GreatExpectationsFlyteConfig GreatExpectationsTask GreatExpectationsType",
    ),
    "flytekitplugins.hive": ("flyte_plugin_hive", "HiveConfig HiveTask HiveSelectTask"),
    "flytekitplugins.kfmpi": ("flyte_plugin_mpi", "MPIJob HorovodJob Launcher Worker RunPolicy CleanPodPolicy"),
    "flytekitplugins.kfpytorch": ("flyte_plugin_pytorch", _PYTORCH),
    "flytekitplugins.kftensorflow": (
        "flyte_plugin_tensorflow",
        "TfJob PS Chief Worker Evaluator RunPolicy CleanPodPolicy RestartPolicy",
    ),
    "flytekitplugins.modin": ("flyte_plugin_modin", ""),
    "flytekitplugins.pandera": ("flyte_plugin_pandera", "PanderaValidationConfig ValidationConfig"),
    "flytekitplugins.papermill": (
        "flyte_plugin_papermill",
        "NotebookTask record_outputs load_flytefile=load_file load_flytedirectory=load_dir "
        "load_structureddataset=load_dataframe",
    ),
    "flytekitplugins.pod": ("flyte_plugin_kubernetes", "Pod"),
    "flytekitplugins.ray": ("flyte_plugin_ray", "RayJobConfig HeadNodeConfig WorkerNodeConfig"),
    "flytekitplugins.snowflake": ("flyte_plugin_snowflake", "SnowflakeConfig SnowflakeTask"),
    "flytekitplugins.spark": ("flyte_plugin_spark", "Spark new_spark_session"),
    "flytekitplugins.sqlalchemy": ("flyte_plugin_sqlalchemy", "SQLAlchemyConfig SQLAlchemyTask"),
    "flytekitplugins.wandb": ("flyte_plugin_wandb", "wandb_init"),
}

#: Packages that only registered types, and what does it now; their import can go.
ABSORBED: Final[dict[str, str]] = {
    "flytekitplugins.async_fsspec": "file stores come with FlytePath itself: remove the import",
    "flytekitplugins.data_fsspec": "file stores come with FlytePath itself: remove the import",
    "flytekitplugins.fsspec": "file stores come with FlytePath itself: remove the import",
    "flytekitplugins.polars": "polars frames come with FlytePath itself: remove the import",
    "flytekitplugins.pydantic": "pydantic models come with FlytePath itself: remove the import",
}

#: Distribution -> what takes its place. Those that core absorbed become ``flytepath``.
DISTRIBUTIONS: Final[dict[str, str]] = {
    "flytekit": "flytepath",
    "flytekitplugins-athena": "flyte-plugin-athena",
    "flytekitplugins-awsbatch": "flyte-plugin-awsbatch",
    "flytekitplugins-awssagemaker": "flyte-plugin-sagemaker",
    "flytekitplugins-bigquery": "flyte-plugin-bigquery",
    "flytekitplugins-async-fsspec": "flytepath",
    "flytekitplugins-dask": "flyte-plugin-dask",
    "flytekitplugins-data-fsspec": "flytepath",
    "flytekitplugins-deck-standard": "flytepath",
    "flytekitplugins-dolt": "flyte-plugin-dolt",
    "flytekitplugins-great-expectations": "flyte-plugin-greatexpectations",
    "flytekitplugins-hive": "flyte-plugin-hive",
    "flytekitplugins-kfmpi": "flyte-plugin-mpi",
    "flytekitplugins-kfpytorch": "flyte-plugin-pytorch",
    "flytekitplugins-kftensorflow": "flyte-plugin-tensorflow",
    "flytekitplugins-modin": "flyte-plugin-modin",
    "flytekitplugins-pandera": "flyte-plugin-pandera",
    "flytekitplugins-papermill": "flyte-plugin-papermill",
    "flytekitplugins-pod": "flyte-plugin-kubernetes",
    "flytekitplugins-polars": "flytepath",
    "flytekitplugins-pydantic": "flytepath",
    "flytekitplugins-ray": "flyte-plugin-ray",
    "flytekitplugins-snowflake": "flyte-plugin-snowflake",
    "flytekitplugins-spark": "flyte-plugin-spark",
    "flytekitplugins-sqlalchemy": "flyte-plugin-sqlalchemy",
    "flytekitplugins-wandb": "flyte-plugin-wandb",
}

_CONNECTOR: Final = "agents and connectors are backends here: see the plugin authors' guide (flytepath_backends)"
_TYPE_PLUGIN: Final = "declare a TypeTransformer with the hook flytepath_transformers, see the plugin authors' guide"
_LOGGING: Final = "use logging.getLogger(__name__), or current_context().logging inside a task"
_SETTINGS_FILE: Final = "FlytePath is configured by flytepath.toml or FLYTEPATH_* variables, see the policy's guide"

#: Module (everything below it) or full name -> what to do instead. The longest match speaks.
REFUSED: Final[dict[str, str]] = {
    "flytekit.bin": "workers are started by the engine: there is no entry point to call",
    "flytekit.clients": "the client of the Flyte service; use `flytepath run` and `flytepath executions`",
    "flytekit.clis": "use `flytepath run` and `flytepath executions` in the place of pyflyte",
    "flytekit.configuration": _SETTINGS_FILE,
    "flytekit.core.artifact": "only Artifact itself is carried over; queries and partitions are not",
    "flytekit.core.class_based_resolver": "tasks are found by module variable: a resolver is not needed",
    "flytekit.core.context_manager": "use current_context(); contexts are not managed by hand here",
    "flytekit.core.context_manager.ExecutionParameters": "the type of current_context(): drop the annotation",
    "flytekit.core.data_persistence": "files move through FlyteFile and FlyteDirectory",
    "flytekit.core.interface": "interfaces are made from annotations; read them from task.interface",
    "flytekit.core.python_auto_container": "tasks are found by module variable: a resolver is not needed",
    "flytekit.core.python_customized_container_task": "write a task type, see the plugin authors' guide",
    "flytekit.core.shim_task": "write a task type, see the plugin authors' guide",
    "flytekit.core.task.TaskPlugins": "declare a task type with the hook flytepath_task_types",
    "flytekit.core.tracker": "tasks are found by module variable: nothing needs to be tracked",
    "flytekit.core.type_engine": _TYPE_PLUGIN,
    "flytekit.core.utils": "internal to flytekit",
    "flytekit.core.utils.timeit": "time it with time.perf_counter(), or write to a Deck",
    "flytekit.deck": "write HTML to a Deck, or declare a renderer with the hook flytepath_deck_renderers",
    "flytekit.exceptions.scopes": "a task's exception keeps its own type here: catch that",
    "flytekit.exceptions.system": "system failures are retried by the engine and never reach user code",
    "flytekit.exceptions.user": "catch FlytePathError, or the built-in exception of the same meaning",
    "flytekit.exceptions.user.FlyteUserRuntimeException": "a task's exception keeps its own type here: catch that",
    "flytekit.extend": "see the plugin authors' guide for what takes its place",
    "flytekit.extend.TaskPlugins": "declare a task type with the hook flytepath_task_types",
    "flytekit.extend.backend": _CONNECTOR,
    "flytekit.extras.cloud_pickle_resolver": "tasks that no module holds are pickled without a resolver, and announced",
    "flytekit.extras.pydantic_transformer": "pydantic models come with FlytePath itself",
    "flytekit.extras.pytorch": "install flyte-plugin-pytorch and import from flyte_plugin_pytorch",
    "flytekit.extras.sklearn": "return the estimator as JoblibSerializedFile",
    "flytekit.extras.tasks.shell": "only ShellTask and OutputLocation are carried over",
    "flytekit.extras.tensorflow": "install flyte-plugin-tensorflow and import from flyte_plugin_tensorflow",
    "flytekit.image_spec": "images are built by the backend: only ImageSpec is carried over",
    "flytekit.interaction": "there is no remote interaction module",
    "flytekit.interactive": "start the editor in your own environment",
    "flytekit.loggers": _LOGGING,
    "flytekit.logger": _LOGGING,
    "flytekit.models": "FlytePath's own model takes the place of the Flyte service's messages",
    "flytekit.remote": "there is no Flyte service to talk to: use `flytepath run` and `flytepath executions`",
    "flytekit.FlyteRemote": "there is no Flyte service to talk to: use `flytepath run` and `flytepath executions`",
    "flytekit.sensor": "only BaseSensor and FileSensor are carried over",
    "flytekit.tools": "code is bundled by `flytepath run`: there is nothing to call",
    "flytekit.types.file": "name the format in the type: FlyteFile['ext']",
    "flytekit.types.schema": "use StructuredDataset",
    "flytekit.types.structured": "declare a frame codec with the hook flytepath_dataframe_codecs",
    "flytekit.__version__": "FlytePath's versions are its own: drop the comparison, or read flytepath.__version__",
    "flytekit.FlyteContext": "use current_context(); contexts are not managed by hand here",
    "flytekit.FlyteContextManager": "use current_context(); contexts are not managed by hand here",
    "flytekit.ExecutionParameters": "the type of current_context(): drop the annotation",
    "flytekit.new_context": "use current_context(); contexts are not managed by hand here",
    "flytekitplugins.airflow": "no plugin takes its place yet: call the operator from a task",
    "flytekitplugins.great_expectations": "a mark in Annotated takes the transformer's place",
    "flytekitplugins.flyteinteractive": "start the editor in your own environment",
    "flytekitplugins.spark": "frames of Spark are handled by flyte-plugin-spark without naming its handlers",
    "flytekitplugins.deck": "write HTML to a Deck, or declare a renderer with the hook flytepath_deck_renderers",
}

UNKNOWN_HINT: Final = "it is not part of flytekit's documented API that FlytePath carries over"
NO_PLUGIN_HINT: Final = "no FlytePath plugin takes its place yet; one can declare it with flytepath_migrations"
