from __future__ import annotations

import datetime as dt
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from flytepath.authoring.context import ExecutionContext, current_context, entered
from flytepath.model.identity import Tenant


def test_an_execution_s_identity_is_text_and_knows_where_it_belongs() -> None:
    context = ExecutionContext(execution_id="f1", tenant=Tenant("vision", "production"))
    found = context.execution_id
    assert found == "f1" and isinstance(found, str)
    assert (found.name, found.project, found.domain) == ("f1", "vision", "production")
    assert type(found.name) is str
    assert json.dumps(found) == '"f1"'
    assert pickle.loads(pickle.dumps(found)).project == "vision"
    assert {found: 1}["f1"] == 1
    assert ExecutionContext().execution_id.project == "local"


def test_a_task_s_identity() -> None:
    context = ExecutionContext(node_path="flow.train", tenant=Tenant("vision", "production"), task_version="v3")
    found = context.task_id
    assert (found.name, found.version, found.project, found.domain) == ("flow.train", "v3", "vision", "production")
    assert current_context().task_id.name == "local"


def test_the_execution_s_date_stays_and_has_a_zone() -> None:
    context = ExecutionContext()
    assert context.execution_date is context.execution_date
    assert context.execution_date.tzinfo is dt.UTC
    given = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert ExecutionContext(execution_date=given).execution_date == given


def test_files_of_a_direct_call_outlive_it_but_not_the_process() -> None:
    program = """
import os, sys
from pathlib import Path
from flytepath.authoring.context import ExecutionContext, entered
with entered(ExecutionContext()) as context:
    prefix = context.raw_output_prefix
    assert prefix == context.raw_output_prefix and prefix.endswith("/")
    (Path(prefix) / "x").write_text("x")
assert (Path(prefix) / "x").exists()
assert ExecutionContext().raw_output_prefix != prefix
outside = ExecutionContext()
outside.checkpoint.write(b"x")
assert outside.working_directory.is_dir()
if os.fork() == 0:
    sys.exit(0)
os.wait()
assert (Path(prefix) / "x").exists(), "a child that ends takes nothing along"
print(prefix)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert not Path(done.stdout.strip()).exists()


def test_a_prefix_is_passed_on() -> None:
    assert ExecutionContext(raw_output_prefix="s3://bucket/x").raw_output_prefix == "s3://bucket/x/"
    assert ExecutionContext(output_metadata_prefix="s3://b/m").output_metadata_prefix == "s3://b/m"
    assert current_context().output_metadata_prefix is None


def test_counters_go_nowhere() -> None:
    stats = current_context().stats
    with stats.timer("fit"):
        stats.incr("rows")
    stats.gauge("loss", 0.5)
    stats.timing("fit", 3)


def test_what_is_attached_is_found_in_any_case() -> None:
    context = ExecutionContext(node_path="t")
    context.attach("SPARK_SESSION", "session")
    assert context.spark_session == context.get("spark_session") == context.get("SPARK_SESSION") == "session"
    assert context.has_attr("spark_session") and not context.has_attr("ray")
    with pytest.raises(AttributeError, match="ray"):
        _ = context.ray
    with pytest.raises(AttributeError):
        context.get("ray")


def test_the_working_directory_goes_with_the_attempt() -> None:
    with entered(ExecutionContext()) as context:
        folder = context.working_directory
        assert folder.is_dir() and not list(folder.iterdir())
    assert not folder.exists()


def test_contexts_nest() -> None:
    outer, inner = ExecutionContext(node_path="outer"), ExecutionContext(node_path="inner")
    with entered(outer):
        with entered(inner):
            assert current_context() is inner
        assert current_context() is outer
    assert current_context().node_path == ""


def test_a_context_costs_no_imports() -> None:
    program = """
import sys
from flytepath.authoring.context import ExecutionContext, entered
before = set(sys.modules)
with entered(ExecutionContext(node_path="t")):
    pass
print(sorted(set(sys.modules) - before))
print([name for name in ("pydantic", "tempfile", "logging", "asyncio", "fsspec") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
