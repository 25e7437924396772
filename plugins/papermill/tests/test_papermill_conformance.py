"""The plugin keeps to the contract, as the conformance kit tells it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from flyte_plugin_papermill import NotebookConfig
from flyte_plugin_papermill.config import NotebookTaskType
from flytepath.plugin import TaskDeclaration
from flytepath.testing import PluginConformance, TaskTypeConformance
from papermill_notebooks import notebook


class TestPlugin(PluginConformance):
    plugin = "papermill"


class TestTaskType(TaskTypeConformance):
    task_type = NotebookTaskType
    name = "papermill"

    def config_samples(self) -> Iterable[NotebookConfig]:
        return [
            NotebookConfig(),
            NotebookConfig("python3", "nbclient", 5, 600, False, False),
            NotebookConfig(kernel_name="Kérnel with a name"),
        ]

    def declaration(self, config: NotebookConfig) -> TaskDeclaration:
        source = json.dumps(notebook("x = 1"))
        backend = "local" if config.kernel_name is None else "elsewhere"
        return TaskDeclaration("conformance.note", config, body="notebook", source=source, backend=backend)
