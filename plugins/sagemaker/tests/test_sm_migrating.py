"""Whoever comes from flytekit finds every name that is said to be carried over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import flyte_plugin_sagemaker
import pytest

SOURCE = """
from flytekit import task
from flytekitplugins.awssagemaker import SagemakerBuiltinAlgorithmsTask, SagemakerTrainingJobConfig
from flytekitplugins.awssagemaker.models.training_job import AlgorithmSpecification, MetricDefinition
from flytekitplugins.awssagemaker_inference import BotoConfig, BotoTask, create_sagemaker_deployment
"""


def test_imports_are_rewritten_to_names_that_are_there(tmp_path: Path) -> None:
    pytest.importorskip("libcst")
    path = tmp_path / "flow.py"
    path.write_text(SOURCE)
    command = [sys.executable, "-m", "flytepath", "migrate", "--write", str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    written = path.read_text()
    assert "flytekit" not in written, done.stdout + done.stderr
    names = [
        name.strip()
        for line in written.splitlines()
        if line.startswith("from flyte_plugin_sagemaker")
        for name in line.partition(" import ")[2].split(",")
    ]
    assert len(names) == 7
    assert all(hasattr(flyte_plugin_sagemaker, name) for name in names)
