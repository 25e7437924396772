"""FlytePath: typed, durable workflows in which every integration is a plugin.

The authoring names are resolved on first use; importing this package imports nothing else and scans nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from flytepath.authoring.checkpoint import Checkpoint, CheckpointWarning
    from flytepath.authoring.conditional import conditional
    from flytepath.authoring.context import ExecutionContext, current_context
    from flytepath.authoring.decks.deck import Deck, DeckField, timeit
    from flytepath.authoring.decks.renderers.charts import BoxRenderer, GanttChartRenderer
    from flytepath.authoring.decks.renderers.pictures import FigureRenderer, ImageRenderer
    from flytepath.authoring.decks.renderers.tables import FrameProfilingRenderer, TableRenderer, TopFrameRenderer
    from flytepath.authoring.decks.renderers.text import MarkdownRenderer, PythonDependencyRenderer, SourceCodeRenderer
    from flytepath.authoring.declared.artifact import Artifact, ArtifactQuery, Granularity, Inputs
    from flytepath.authoring.declared.attempts import Retry, Timeout
    from flytepath.authoring.declared.caching import Cache, CachePolicy, VersionParameters
    from flytepath.authoring.declared.documentation import Description, Documentation, SourceCode
    from flytepath.authoring.declared.image_spec import CopyFileDetection, ImageSpec
    from flytepath.authoring.declared.notifications import Email, PagerDuty, Slack, WorkflowExecutionPhase
    from flytepath.authoring.declared.options import (
        Annotations,
        ConcurrencyLimitBehavior,
        ConcurrencyPolicy,
        Labels,
        Options,
        RawOutputDataConfig,
        RunAs,
        SecurityContext,
        WorkflowFailurePolicy,
    )
    from flytepath.authoring.declared.pod_template import PodTemplate
    from flytepath.authoring.declared.schedules import CronSchedule, FixedRate
    from flytepath.authoring.dynamic import dynamic
    from flytepath.authoring.eager import eager
    from flytepath.authoring.entity import Interface
    from flytepath.authoring.environment import Environment
    from flytepath.authoring.gates import approve, sleep, wait_for_input
    from flytepath.authoring.kinds.container import ContainerTask
    from flytepath.authoring.kinds.echo import Echo
    from flytepath.authoring.kinds.sensors import BaseSensor, FileSensor, SensorTimeoutError
    from flytepath.authoring.kinds.shell import OutputLocation, RawShellTask, ShellTask, get_raw_shell_task
    from flytepath.authoring.kinds.sql import SQLTask
    from flytepath.authoring.kinds.sqlite import SQLite3Config, SQLite3Task
    from flytepath.authoring.launch_plan import LaunchPlan
    from flytepath.authoring.map_task import map_task
    from flytepath.authoring.mocking import patch, task_mock
    from flytepath.authoring.nodes import NodeOutput, create_node
    from flytepath.authoring.reference import (
        get_reference_entity,
        reference_launch_plan,
        reference_task,
        reference_workflow,
    )
    from flytepath.authoring.settings import TaskMetadata
    from flytepath.authoring.task import PythonFunctionTask, PythonInstanceTask, PythonTask, kwtypes, task
    from flytepath.authoring.workflow import ImperativeWorkflow, workflow
    from flytepath.authoring.workflow import ImperativeWorkflow as Workflow
    from flytepath.client.session import AsyncFlytePath, Execution, FlytePath
    from flytepath.errors import AssertionFailedError as FlyteAssertion
    from flytepath.errors import AttemptTimeoutError as FlyteTimeout
    from flytepath.errors import EagerError as EagerException
    from flytepath.errors import FlytePathError, TypeTransformerFailedError
    from flytepath.errors import FlytePathError as FlyteException
    from flytepath.errors import FlytePathError as FlyteUserException
    from flytepath.errors import GateError as FlyteDisapprovalException
    from flytepath.errors import InputError as FlyteInvalidInputException
    from flytepath.errors import InputError as FlyteValueException
    from flytepath.errors import MissingAnnotationError as FlyteMissingTypeException
    from flytepath.errors import MissingInputError as FlyteMissingInputsException
    from flytepath.errors import MissingReturnError as FlyteMissingReturnValueException
    from flytepath.errors import RecoverableError as FlyteRecoverableException
    from flytepath.errors import TypeTransformerFailedError as FlyteTypeException
    from flytepath.errors import ValidationError as FlyteValidationException
    from flytepath.model.accelerators import (
        A10G,
        A100,
        A100_80GB,
        H100,
        H200,
        K80,
        L4,
        L4_VWS,
        L40S,
        M60,
        P4,
        P100,
        RTX_PRO_6000,
        T4,
        V5E,
        V5P,
        V6E,
        V100,
        GPUAccelerator,
        TPUAccelerator,
    )
    from flytepath.model.literal import BlobRef as Blob
    from flytepath.model.literal import Literal
    from flytepath.model.resources import Resources
    from flytepath.model.secret import Secret
    from flytepath.model.types import LiteralType
    from flytepath.plugin.sql import Identifier
    from flytepath.plugin.transformer import TypeTransformer
    from flytepath.types.directories import BatchSize, FlyteDirectory
    from flytepath.types.failures import FlyteError
    from flytepath.types.file_formats import (
        CSVFile,
        FileExt,
        HDF5EncodedFile,
        HTMLPage,
        JoblibSerializedFile,
        JPEGImageFile,
        JSONLFile,
        ONNXFile,
        PDFFile,
        PNGImageFile,
        PythonNotebook,
        PythonPickledFile,
        SVGImageFile,
        TensorboardLogs,
        TFRecordFile,
        TFRecordsDirectory,
    )
    from flytepath.types.files import FlyteFile
    from flytepath.types.hashing import HashMethod
    from flytepath.types.iterators import FlyteIterator
    from flytepath.types.json_values import JSON
    from flytepath.types.pickled import FlytePickle
    from flytepath.types.schema import FlyteSchema, SchemaFormat, SchemaOpenMode
    from flytepath.types.structured_dataset import CSV, PARQUET, StructuredDataset
    from flytepath.types.type_engine import TypeEngine

_HOME_OF = {
    "A100": "flytepath.model.accelerators",
    "A100_80GB": "flytepath.model.accelerators",
    "A10G": "flytepath.model.accelerators",
    "Annotations": "flytepath.authoring.declared.options",
    "Artifact": "flytepath.authoring.declared.artifact",
    "ArtifactQuery": "flytepath.authoring.declared.artifact",
    "AsyncFlytePath": "flytepath.client.session",
    "BaseSensor": "flytepath.authoring.kinds.sensors",
    "BatchSize": "flytepath.types.directories",
    "Blob": "flytepath.model.literal:BlobRef",
    "BoxRenderer": "flytepath.authoring.decks.renderers.charts",
    "CSV": "flytepath.types.structured_dataset",
    "CSVFile": "flytepath.types.file_formats",
    "Cache": "flytepath.authoring.declared.caching",
    "CachePolicy": "flytepath.authoring.declared.caching",
    "Checkpoint": "flytepath.authoring.checkpoint",
    "CheckpointWarning": "flytepath.authoring.checkpoint",
    "ConcurrencyLimitBehavior": "flytepath.authoring.declared.options",
    "ConcurrencyPolicy": "flytepath.authoring.declared.options",
    "ContainerTask": "flytepath.authoring.kinds.container",
    "CopyFileDetection": "flytepath.authoring.declared.image_spec",
    "CronSchedule": "flytepath.authoring.declared.schedules",
    "Deck": "flytepath.authoring.decks.deck",
    "DeckField": "flytepath.authoring.decks.deck",
    "Description": "flytepath.authoring.declared.documentation",
    "Documentation": "flytepath.authoring.declared.documentation",
    "EagerException": "flytepath.errors:EagerError",
    "Echo": "flytepath.authoring.kinds.echo",
    "Email": "flytepath.authoring.declared.notifications",
    "Environment": "flytepath.authoring.environment",
    "Execution": "flytepath.client.session",
    "ExecutionContext": "flytepath.authoring.context",
    "FigureRenderer": "flytepath.authoring.decks.renderers.pictures",
    "FileExt": "flytepath.types.file_formats",
    "FileSensor": "flytepath.authoring.kinds.sensors",
    "FixedRate": "flytepath.authoring.declared.schedules",
    "FlyteAssertion": "flytepath.errors:AssertionFailedError",
    "FlyteDirectory": "flytepath.types.directories",
    "FlyteDisapprovalException": "flytepath.errors:GateError",
    "FlyteError": "flytepath.types.failures",
    "FlyteException": "flytepath.errors:FlytePathError",
    "FlyteFile": "flytepath.types.files",
    "FlyteInvalidInputException": "flytepath.errors:InputError",
    "FlyteIterator": "flytepath.types.iterators",
    "FlyteMissingInputsException": "flytepath.errors:MissingInputError",
    "FlyteMissingReturnValueException": "flytepath.errors:MissingReturnError",
    "FlyteMissingTypeException": "flytepath.errors:MissingAnnotationError",
    "FlytePath": "flytepath.client.session",
    "FlytePathError": "flytepath.errors",
    "FlytePickle": "flytepath.types.pickled",
    "FlyteRecoverableException": "flytepath.errors:RecoverableError",
    "FlyteSchema": "flytepath.types.schema",
    "FlyteTimeout": "flytepath.errors:AttemptTimeoutError",
    "FlyteTypeException": "flytepath.errors:TypeTransformerFailedError",
    "FlyteUserException": "flytepath.errors:FlytePathError",
    "FlyteValidationException": "flytepath.errors:ValidationError",
    "FlyteValueException": "flytepath.errors:InputError",
    "FrameProfilingRenderer": "flytepath.authoring.decks.renderers.tables",
    "GPUAccelerator": "flytepath.model.accelerators",
    "GanttChartRenderer": "flytepath.authoring.decks.renderers.charts",
    "Granularity": "flytepath.authoring.declared.artifact",
    "H100": "flytepath.model.accelerators",
    "H200": "flytepath.model.accelerators",
    "HDF5EncodedFile": "flytepath.types.file_formats",
    "HTMLPage": "flytepath.types.file_formats",
    "HashMethod": "flytepath.types.hashing",
    "Identifier": "flytepath.plugin.sql",
    "ImageRenderer": "flytepath.authoring.decks.renderers.pictures",
    "ImageSpec": "flytepath.authoring.declared.image_spec",
    "ImperativeWorkflow": "flytepath.authoring.workflow",
    "Inputs": "flytepath.authoring.declared.artifact",
    "Interface": "flytepath.authoring.entity",
    "JPEGImageFile": "flytepath.types.file_formats",
    "JSON": "flytepath.types.json_values",
    "JSONLFile": "flytepath.types.file_formats",
    "JoblibSerializedFile": "flytepath.types.file_formats",
    "K80": "flytepath.model.accelerators",
    "L4": "flytepath.model.accelerators",
    "L40S": "flytepath.model.accelerators",
    "L4_VWS": "flytepath.model.accelerators",
    "Labels": "flytepath.authoring.declared.options",
    "LaunchPlan": "flytepath.authoring.launch_plan",
    "Literal": "flytepath.model.literal",
    "LiteralType": "flytepath.model.types",
    "M60": "flytepath.model.accelerators",
    "MarkdownRenderer": "flytepath.authoring.decks.renderers.text",
    "NodeOutput": "flytepath.authoring.nodes",
    "ONNXFile": "flytepath.types.file_formats",
    "Options": "flytepath.authoring.declared.options",
    "OutputLocation": "flytepath.authoring.kinds.shell",
    "P100": "flytepath.model.accelerators",
    "P4": "flytepath.model.accelerators",
    "PARQUET": "flytepath.types.structured_dataset",
    "PDFFile": "flytepath.types.file_formats",
    "PNGImageFile": "flytepath.types.file_formats",
    "PagerDuty": "flytepath.authoring.declared.notifications",
    "PodTemplate": "flytepath.authoring.declared.pod_template",
    "PythonDependencyRenderer": "flytepath.authoring.decks.renderers.text",
    "PythonFunctionTask": "flytepath.authoring.task",
    "PythonInstanceTask": "flytepath.authoring.task",
    "PythonNotebook": "flytepath.types.file_formats",
    "PythonPickledFile": "flytepath.types.file_formats",
    "PythonTask": "flytepath.authoring.task",
    "RTX_PRO_6000": "flytepath.model.accelerators",
    "RawOutputDataConfig": "flytepath.authoring.declared.options",
    "RawShellTask": "flytepath.authoring.kinds.shell",
    "Resources": "flytepath.model.resources",
    "Retry": "flytepath.authoring.declared.attempts",
    "RunAs": "flytepath.authoring.declared.options",
    "SQLTask": "flytepath.authoring.kinds.sql",
    "SQLite3Config": "flytepath.authoring.kinds.sqlite",
    "SQLite3Task": "flytepath.authoring.kinds.sqlite",
    "SVGImageFile": "flytepath.types.file_formats",
    "SchemaFormat": "flytepath.types.schema",
    "SchemaOpenMode": "flytepath.types.schema",
    "Secret": "flytepath.model.secret",
    "SecurityContext": "flytepath.authoring.declared.options",
    "SensorTimeoutError": "flytepath.authoring.kinds.sensors",
    "ShellTask": "flytepath.authoring.kinds.shell",
    "Slack": "flytepath.authoring.declared.notifications",
    "SourceCode": "flytepath.authoring.declared.documentation",
    "SourceCodeRenderer": "flytepath.authoring.decks.renderers.text",
    "StructuredDataset": "flytepath.types.structured_dataset",
    "T4": "flytepath.model.accelerators",
    "TFRecordFile": "flytepath.types.file_formats",
    "TFRecordsDirectory": "flytepath.types.file_formats",
    "TPUAccelerator": "flytepath.model.accelerators",
    "TableRenderer": "flytepath.authoring.decks.renderers.tables",
    "TaskMetadata": "flytepath.authoring.settings",
    "TensorboardLogs": "flytepath.types.file_formats",
    "Timeout": "flytepath.authoring.declared.attempts",
    "TopFrameRenderer": "flytepath.authoring.decks.renderers.tables",
    "TypeEngine": "flytepath.types.type_engine",
    "TypeTransformer": "flytepath.plugin.transformer",
    "TypeTransformerFailedError": "flytepath.errors",
    "V100": "flytepath.model.accelerators",
    "V5E": "flytepath.model.accelerators",
    "V5P": "flytepath.model.accelerators",
    "V6E": "flytepath.model.accelerators",
    "VersionParameters": "flytepath.authoring.declared.caching",
    "Workflow": "flytepath.authoring.workflow:ImperativeWorkflow",
    "WorkflowExecutionPhase": "flytepath.authoring.declared.notifications",
    "WorkflowFailurePolicy": "flytepath.authoring.declared.options",
    "approve": "flytepath.authoring.gates",
    "conditional": "flytepath.authoring.conditional",
    "create_node": "flytepath.authoring.nodes",
    "current_context": "flytepath.authoring.context",
    "dynamic": "flytepath.authoring.dynamic",
    "eager": "flytepath.authoring.eager",
    "get_raw_shell_task": "flytepath.authoring.kinds.shell",
    "get_reference_entity": "flytepath.authoring.reference",
    "kwtypes": "flytepath.authoring.task",
    "map_task": "flytepath.authoring.map_task",
    "patch": "flytepath.authoring.mocking",
    "reference_launch_plan": "flytepath.authoring.reference",
    "reference_task": "flytepath.authoring.reference",
    "reference_workflow": "flytepath.authoring.reference",
    "sleep": "flytepath.authoring.gates",
    "task": "flytepath.authoring.task",
    "task_mock": "flytepath.authoring.mocking",
    "timeit": "flytepath.authoring.decks.deck",
    "wait_for_input": "flytepath.authoring.gates",
    "workflow": "flytepath.authoring.workflow",
}

__all__ = [
    "A10G",
    "A100",
    "A100_80GB",
    "CSV",
    "H100",
    "H200",
    "JSON",
    "K80",
    "L4",
    "L4_VWS",
    "L40S",
    "M60",
    "P4",
    "P100",
    "PARQUET",
    "RTX_PRO_6000",
    "T4",
    "V5E",
    "V5P",
    "V6E",
    "V100",
    "Annotations",
    "Artifact",
    "ArtifactQuery",
    "AsyncFlytePath",
    "BaseSensor",
    "BatchSize",
    "Blob",
    "BoxRenderer",
    "CSVFile",
    "Cache",
    "CachePolicy",
    "Checkpoint",
    "CheckpointWarning",
    "ConcurrencyLimitBehavior",
    "ConcurrencyPolicy",
    "ContainerTask",
    "CopyFileDetection",
    "CronSchedule",
    "Deck",
    "DeckField",
    "Description",
    "Documentation",
    "EagerException",
    "Echo",
    "Email",
    "Environment",
    "Execution",
    "ExecutionContext",
    "FigureRenderer",
    "FileExt",
    "FileSensor",
    "FixedRate",
    "FlyteAssertion",
    "FlyteDirectory",
    "FlyteDisapprovalException",
    "FlyteError",
    "FlyteException",
    "FlyteFile",
    "FlyteInvalidInputException",
    "FlyteIterator",
    "FlyteMissingInputsException",
    "FlyteMissingReturnValueException",
    "FlyteMissingTypeException",
    "FlytePath",
    "FlytePathError",
    "FlytePickle",
    "FlyteRecoverableException",
    "FlyteSchema",
    "FlyteTimeout",
    "FlyteTypeException",
    "FlyteUserException",
    "FlyteValidationException",
    "FlyteValueException",
    "FrameProfilingRenderer",
    "GPUAccelerator",
    "GanttChartRenderer",
    "Granularity",
    "HDF5EncodedFile",
    "HTMLPage",
    "HashMethod",
    "Identifier",
    "ImageRenderer",
    "ImageSpec",
    "ImperativeWorkflow",
    "Inputs",
    "Interface",
    "JPEGImageFile",
    "JSONLFile",
    "JoblibSerializedFile",
    "Labels",
    "LaunchPlan",
    "Literal",
    "LiteralType",
    "MarkdownRenderer",
    "NodeOutput",
    "ONNXFile",
    "Options",
    "OutputLocation",
    "PDFFile",
    "PNGImageFile",
    "PagerDuty",
    "PodTemplate",
    "PythonDependencyRenderer",
    "PythonFunctionTask",
    "PythonInstanceTask",
    "PythonNotebook",
    "PythonPickledFile",
    "PythonTask",
    "RawOutputDataConfig",
    "RawShellTask",
    "Resources",
    "Retry",
    "RunAs",
    "SQLTask",
    "SQLite3Config",
    "SQLite3Task",
    "SVGImageFile",
    "SchemaFormat",
    "SchemaOpenMode",
    "Secret",
    "SecurityContext",
    "SensorTimeoutError",
    "ShellTask",
    "Slack",
    "SourceCode",
    "SourceCodeRenderer",
    "StructuredDataset",
    "TFRecordFile",
    "TFRecordsDirectory",
    "TPUAccelerator",
    "TableRenderer",
    "TaskMetadata",
    "TensorboardLogs",
    "Timeout",
    "TopFrameRenderer",
    "TypeEngine",
    "TypeTransformer",
    "TypeTransformerFailedError",
    "VersionParameters",
    "Workflow",
    "WorkflowExecutionPhase",
    "WorkflowFailurePolicy",
    "__version__",
    "approve",
    "conditional",
    "create_node",
    "current_context",
    "dynamic",
    "eager",
    "get_raw_shell_task",
    "get_reference_entity",
    "kwtypes",
    "map_task",
    "patch",
    "reference_launch_plan",
    "reference_task",
    "reference_workflow",
    "sleep",
    "task",
    "task_mock",
    "timeit",
    "wait_for_input",
    "workflow",
]


def __getattr__(name: str) -> Any:
    room, _, attribute = _HOME_OF.get(name, "").partition(":")
    if not room:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(room), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
