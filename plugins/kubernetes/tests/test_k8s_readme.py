"""What the README shows runs as it stands, and is all there is to set."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from flyte_plugin_kubernetes import KubernetesSettings
from flyte_plugin_kubernetes.compile_check import read_settings
from flytepath.compiler import compile_entity
from flytepath.plugin import Tenant
from flytepath.testing import MemoryBlobs

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("readme")
    (folder / "words_of_the_readme.py").write_text("\n\n".join(blocks("python")), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("words_of_the_readme")
    del sys.modules["words_of_the_readme"]


def test_the_workflow_runs_in_this_process(words: Any) -> None:
    assert words.count(words=["a", "bb"]) == 3


def test_all_of_it_compiles_for_the_cluster_with_the_settings_shown(
    words: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flytepath.toml").write_text("\n".join(blocks("toml")), encoding="utf-8")
    tenant = Tenant("vision", "production")
    for entity in (words.count, words.area):
        tasks = compile_entity(entity, tenant, MemoryBlobs()).tasks.values()
        assert {spec.backend for spec in tasks} == {"kubernetes"}


def test_every_setting_is_in_the_table() -> None:
    (table,) = re.findall(r"^\| key \|.*?\n\n", README, re.DOTALL | re.MULTILINE)
    cells = [row.split("|")[1] for row in table.strip().splitlines()]
    told = {name.partition(".")[0] for cell in cells for name in re.findall(r"`([\w.]+)`", cell)}
    assert told == set(KubernetesSettings.model_fields)


def test_the_settings_shown_are_settings() -> None:
    for block in blocks("toml"):
        table = tomllib.loads(block).get("backends", {}).get("kubernetes", {})
        assert read_settings(table)


def test_the_engine_may_do_what_it_does_and_nothing_with_secrets() -> None:
    documents = [one for block in blocks("yaml") for one in yaml.safe_load_all(block)]
    (role,) = [one for one in documents if one["kind"] == "Role"]
    granted = {resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]}
    assert granted == {
        "pods": {"create", "get", "list", "delete"},
        "pods/log": {"get"},
        "events": {"list"},
        "jobs": {"create", "get", "list", "delete"},
    }
