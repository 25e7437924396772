"""The index follows what is installed, survives damage, and belongs to one interpreter and one policy."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_distributions import Distributions, task_type
from flytepath.plugin.manager import PluginManager
from flytepath.plugin.policy import Level, NameList, Policy

ENABLED = "answer = sorted(r.name for r in PluginManager.load().plugins if r.state == 'enabled')"


def enabled(manager: PluginManager) -> set[str]:
    return {item.name for item in manager.plugins if item.state == "enabled"}


def indexes(distributions: Distributions) -> list[Path]:
    return sorted((distributions.home / "plugins").glob("index-*.json"))


def counting(distributions: Distributions, name: str) -> Path:
    """A plugin that leaves a line in a file whenever its manifest is imported."""
    counter = distributions.folder.parent / "imports"
    manifest = f"open({str(counter)!r}, 'a').write('x')"
    distributions.add(name, f"\n        {manifest}" + task_type(name))
    return counter


def test_manifests_are_read_once(distributions: Distributions) -> None:
    counter = counting(distributions, "spark")
    for _ in range(3):
        assert PluginManager.load().task_type("spark").plugin == "spark"
    assert counter.read_text() == "x"
    PluginManager.load(refresh=True)
    assert counter.read_text() == "xx"


def test_reading_the_index_imports_nothing_that_costs(distributions: Distributions) -> None:
    distributions.add("spark")
    code = """
        PluginManager.load().task_type("spark")
        heavy = ["pluggy", "stevedore", "pydantic", "importlib.metadata", "tomllib", "asyncio", "hashlib", "subprocess"]
        answer = [name for name in heavy if name in sys.modules]
    """
    assert distributions.run(code)
    assert distributions.run(code) == []


def test_core_answers_without_reading_the_index(distributions: Distributions) -> None:
    counter = counting(distributions, "spark")
    manager = PluginManager()
    assert manager.task_type("python").plugin == "flytepath"
    assert manager.blob_store("file").plugin == "flytepath"
    assert manager.secret_provider("").declaration.scheme == "env"
    scalar = manager.transformer_for(int)
    assert scalar is not None
    assert scalar.plugin == "flytepath"
    assert not counter.exists()
    assert not distributions.home.exists()


def test_a_plugin_that_is_added_upgraded_and_removed_is_noticed(distributions: Distributions) -> None:
    assert "spark" not in enabled(PluginManager.load())
    distributions.add("spark")
    assert PluginManager.load().task_type("spark").version == "1.0"
    distributions.add("spark", task_type("spark2", "flyte_plugin_spark"), version="2.0")
    assert PluginManager.load().task_type("spark2").version == "2.0"
    distributions.remove("flyte-plugin-spark")
    assert "spark" not in enabled(PluginManager.load())


def test_a_manifest_that_is_edited_is_noticed(distributions: Distributions) -> None:
    path = distributions.add("spark")
    assert PluginManager.load().task_type("spark").plugin == "spark"
    path.write_text(path.read_text().replace('name="spark"', 'name="sparkling"'))
    assert PluginManager.load().task_type("sparkling").plugin == "spark"


def test_an_entry_point_that_is_edited_in_place_is_noticed(distributions: Distributions) -> None:
    distributions.add("spark")
    assert "spark" in enabled(PluginManager.load())
    points = distributions.folder / "flyte_plugin_spark-1.0.dist-info" / "entry_points.txt"
    points.write_text("[flytepath.v1]\nrenamed = flyte_plugin_spark.plugin\n")
    assert "renamed" in enabled(PluginManager.load())


def test_a_policy_that_changes_is_noticed(distributions: Distributions, monkeypatch: pytest.MonkeyPatch) -> None:
    distributions.add("spark")
    assert "spark" in enabled(PluginManager.load())
    distributions.configure("[plugins]\ndeny = ['spark']")
    assert "spark" not in enabled(PluginManager.load())
    monkeypatch.setenv("FLYTEPATH_PLUGINS__DENY", "")
    assert "spark" in enabled(PluginManager.load())


def test_the_cache_of_stevedore_is_neither_believed_nor_written(distributions: Distributions, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    code = """
        from stevedore import _cache
        _cache._c._disable_caching = False
        print_to = _cache._c._dir
        digest, paths = _cache._hash_settings_for_path(tuple(sys.path))
        import os
        os.makedirs(print_to, exist_ok=True)
        poison = {"groups": {"flytepath.v1": [["ghost", "flyte_plugin_ghost.plugin", "flytepath.v1"]]}}
        poison.update({"sys.executable": sys.executable, "sys.prefix": sys.prefix, "path_values": paths})
        open(os.path.join(print_to, digest), "w").write(json.dumps(poison))
        before = sorted(os.listdir(print_to))
        states = {r.name: r.state for r in PluginManager.load(refresh=True).plugins}
        answer = [states.get("spark"), states.get("ghost"), sorted(os.listdir(print_to)) == before]
    """
    distributions.add("spark")
    assert distributions.run(code, XDG_CACHE_HOME=str(cache)) == ["enabled", None, True]


def test_two_environments_share_a_home_and_keep_apart(distributions: Distributions, tmp_path: Path) -> None:
    distributions.add("spark")
    other = Distributions(tmp_path / "elsewhere", distributions.home)
    other.work = distributions.work
    other.add("ray")
    assert "spark" in distributions.run(ENABLED)
    assert "spark" not in other.run(ENABLED)
    assert "ray" in other.run(ENABLED)
    assert "ray" not in distributions.run(ENABLED)
    assert len(indexes(distributions)) == 2


@pytest.mark.parametrize(
    "damage",
    [b"", b"not json", b"\x00\xff" * 100, b'{"format": 1}\n00000000\n{}', b"[]\nzz\n[]"],
    ids=["empty", "text", "bytes", "other", "checksum"],
)
def test_a_damaged_index_is_built_anew(distributions: Distributions, damage: bytes) -> None:
    distributions.add("spark")
    PluginManager.load()
    (index,) = indexes(distributions)
    index.write_bytes(damage)
    assert PluginManager.load().task_type("spark").plugin == "spark"
    assert index.read_bytes() != damage


def test_an_index_cut_short_or_changed_by_a_bit_is_built_anew(distributions: Distributions) -> None:
    counter = counting(distributions, "spark")
    PluginManager.load()
    (index,) = indexes(distributions)
    whole = index.read_bytes()
    for damaged in (whole[:-10], whole.replace(b'"spark"', b'"spork"', 1)):
        index.write_bytes(damaged)
        assert PluginManager.load().task_type("spark").plugin == "spark"
    assert counter.read_text() == "xxx"


def test_a_home_that_cannot_be_written_works_in_memory_with_a_warning(
    distributions: Distributions, caplog: pytest.LogCaptureFixture
) -> None:
    distributions.add("spark")
    distributions.home.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING, logger="flytepath.plugin"):
        assert PluginManager.load().task_type("spark").plugin == "spark"
    assert "cannot be kept" in caplog.text


def test_four_processes_build_at_once(distributions: Distributions) -> None:
    for number in range(5):
        distributions.add(f"p{number}")
    code = (
        "from flytepath.plugin.manager import PluginManager\n"
        "print(sum(r.state == 'enabled' and r.name.startswith('p') for r in PluginManager.load().plugins))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=distributions.environment(),
            cwd=distributions.work,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [(out.strip(), err) for out, err in outputs] == [("5", "")] * 4
    assert len(indexes(distributions)) == 1
    assert not list((distributions.home / "plugins").glob(".index*"))
    assert "p4" in distributions.run(ENABLED)


def test_old_indexes_are_removed(distributions: Distributions) -> None:
    folder = distributions.home / "plugins"
    folder.mkdir(parents=True)
    for number in range(50):
        stale = folder / f"index-{number:016x}.json"
        stale.write_text("{}")
        os.utime(stale, (number, number))
    PluginManager.load()
    assert len(indexes(distributions)) == 32


def test_two_managers_of_one_process_differ(distributions: Distributions, tmp_path: Path) -> None:
    distributions.add("spark")
    distributions.add("ray")
    first = PluginManager.load(policy=Policy(root=Level(deny=NameList(("ray",), "here"))), home=tmp_path / "a")
    second = PluginManager.load(policy=Policy(root=Level(deny=NameList(("spark",), "there"))), home=tmp_path / "b")
    assert "spark" in enabled(first)
    assert "spark" not in enabled(second)
    assert "ray" in enabled(second)
    assert first.policy.why("ray") == "denied by 'ray' in here"


def test_a_script_in_another_folder_uses_the_same_index(distributions: Distributions, tmp_path: Path) -> None:
    counter = counting(distributions, "spark")
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "script.py").write_text(
            "from flytepath.plugin.manager import PluginManager\nPluginManager.load().task_type('spark')"
        )
        done = subprocess.run(
            [sys.executable, str(folder / "script.py")],
            env=distributions.environment(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert counter.read_text() == "x"


def test_the_index_is_plain_json(distributions: Distributions) -> None:
    distributions.add("spark", requires=("flytepath>=0.1",))
    PluginManager.load()
    (index,) = indexes(distributions)
    body = json.loads(index.read_bytes().split(b"\n", 2)[2])
    (item,) = [plugin for plugin in body["plugins"] if plugin["name"] == "spark"]
    assert item["requires"] == ["flytepath>=0.1"]
