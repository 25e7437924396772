"""The task types of tasks that are no function keep the contract of task types."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from flytepath.authoring.declared.image_spec import ImageSpec
from flytepath.authoring.kinds.container import ContainerConfig, ContainerTaskType, IOStrategy
from flytepath.authoring.kinds.shell import ShellConfig, ShellTaskType
from flytepath.authoring.kinds.sql import SQLConfig, SQLTaskType
from flytepath.authoring.kinds.sqlite import SQLite3Config, SQLite3TaskType
from flytepath.model.types import LiteralType
from flytepath.plugin import TaskDeclaration
from flytepath.testing import TaskTypeConformance


class TestShell(TaskTypeConformance):
    task_type = ShellTaskType
    name = "shell"

    def config_samples(self) -> Iterable[Any]:
        return [ShellConfig("true"), ShellConfig("cat {inputs.x}", "/bin/bash", (("a", "b"), ("c", "d")))]


class TestContainer(TaskTypeConformance):
    task_type = ContainerTaskType
    name = "container"
    calls_body = False

    def config_samples(self) -> Iterable[Any]:
        return [
            ContainerConfig("alpine:3.20", ()),
            ContainerConfig(
                ImageSpec(packages=["numpy"]),
                ("a", "b"),
                ("c",),
                io_strategy=IOStrategy.UPLOAD_ON_EXIT,
                environment=(("A", "1"), ("B", "2")),
            ),
        ]


class _Query(TaskTypeConformance):
    __test__ = False
    calls_body = False

    def declaration(self, config: Any) -> TaskDeclaration:
        return dataclasses.replace(
            super().declaration(config),
            source="select {{ .inputs.b }} in {{ .inputs.a }}",
            inputs={"a": LiteralType.list_of(LiteralType("integer")), "b": LiteralType("integer")},
            python_inputs={"a": list[int], "b": int},
        )


class TestSQL(_Query):
    __test__ = True
    task_type = SQLTaskType
    name = "sql"

    def config_samples(self) -> Iterable[Any]:
        return [SQLConfig(), SQLConfig("another")]


class TestSQLite(_Query):
    __test__ = True
    task_type = SQLite3TaskType
    name = "sqlite3"

    def config_samples(self) -> Iterable[Any]:
        return [SQLite3Config("x.db"), SQLite3Config("s3://bucket/x.zip", compressed=True)]
