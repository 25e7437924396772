"""A broken plugin is set aside with its cause, and everything else works."""

from __future__ import annotations

import importlib

import pytest
from fake_distributions import Distributions, task_type
from flytepath.errors import PluginError, PluginNotFoundError, PluginQuarantinedError
from flytepath.plugin.manager import PluginManager, PluginRecord
from flytepath.plugin.policy import Policy


def record(manager: PluginManager, name: str) -> PluginRecord:
    return next(item for item in manager.plugins if item.name == name)


BREAKS = {
    "raises on import": ('raise RuntimeError("no driver")', "RuntimeError: no driver"),
    "exits on import": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "fails an assertion on import": ("assert False, 'never'", "AssertionError: never"),
    "ends the interpreter": ("import os\nos._exit(7)", "the interpreter ended with status 7"),
    "is killed by a signal": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
        "the interpreter died with signal 11",
    ),
    "needs a missing library": ("import no_such_library", "it needs the library 'no_such_library'"),
    "has a syntax error": ("def broken(:", "SyntaxError"),
    "returns no list": (
        "@hookimpl\ndef flytepath_task_types():\n    return TaskTypeDeclaration(name='x', task_type='a:b')",
        "flytepath_task_types returned TaskTypeDeclaration, not a list",
    ),
    "returns the wrong kind": (
        "@hookimpl\ndef flytepath_task_types():\n    return [1]",
        "flytepath_task_types returned a list with int in it",
    ),
    "returns nothing": ("@hookimpl\ndef flytepath_task_types(): pass", "flytepath_task_types returned NoneType"),
    "raises in a hook": (
        "@hookimpl\ndef flytepath_task_types(): raise KeyError('x')",
        "flytepath_task_types raised KeyError",
    ),
    "implements an unknown hook": ("@hookimpl\ndef flytepath_task_typs(): return []", "'flytepath_task_typs' is not a"),
    "wants arguments": ("@hookimpl\ndef flytepath_task_types(config): return []", "do not fit the contract"),
    "writes a bad reference": (
        "@hookimpl\ndef flytepath_task_types():\n    return [TaskTypeDeclaration(name='x', task_type='a.b')]",
        "which is no reference",
    ),
    "forgets a tuple": (
        "@hookimpl\ndef flytepath_transformers():\n"
        "    return [TransformerDeclaration(python_types='a.B', transformer='a:b', format='f')]",
        "python_types of TransformerDeclaration is 'a.B'",
    ),
    "declares twice": (
        "@hookimpl\ndef flytepath_backends():\n"
        "    return [BackendDeclaration(name='x', backend='a:b', idempotency='A')] * 2",
        "declares backend:x twice",
    ),
}


@pytest.mark.parametrize("manifest, cause", BREAKS.values(), ids=BREAKS)
def test_a_plugin_that_breaks_is_quarantined_and_the_others_work(
    distributions: Distributions, manifest: str, cause: str
) -> None:
    distributions.add("aaa")
    distributions.add("broken", manifest)
    distributions.add("zzz")
    manager = PluginManager.load()
    assert record(manager, "broken").state == "quarantined"
    assert cause in record(manager, "broken").cause
    assert record(manager, "broken").hint
    assert manager.task_type("aaa").plugin == "aaa"
    assert manager.task_type("zzz").distribution == "flyte-plugin-zzz"


def test_an_import_that_hangs_is_ended_at_its_deadline(distributions: Distributions) -> None:
    distributions.add("hangs", "import threading\nthreading.Event().wait()")
    distributions.add("works")
    manager = PluginManager.load(policy=Policy(import_timeout=0.5))
    assert record(manager, "hangs").cause == "import did not finish within 0.5 s"
    assert manager.task_type("works").plugin == "works"


def test_a_missing_library_hints_to_install_it_and_recovers_once_it_is_there(distributions: Distributions) -> None:
    distributions.add("needy", "\n        import no_such_library" + task_type("needy"))
    assert record(PluginManager.load(), "needy").hint == "install what provides 'no_such_library'"
    (distributions.folder / "no_such_library.py").write_text("")
    importlib.invalidate_caches()
    assert PluginManager.load().task_type("needy").plugin == "needy"


def test_an_unknown_hook_names_the_nearest_one(distributions: Distributions) -> None:
    distributions.add("typo", "@hookimpl\ndef flytepath_task_typs(): return []")
    assert record(PluginManager.load(), "typo").hint == "did you mean 'flytepath_task_types'?"


def test_another_contract_major_is_listed_and_never_imported(distributions: Distributions) -> None:
    marker = distributions.folder / "imported"
    distributions.add("future", f"open({str(marker)!r}, 'w').close()", group="flytepath.v2")
    state, cause, _ = distributions.states()["future"]
    assert (state, "contract v2" in cause) == ("incompatible", True)
    assert not marker.exists()


def test_a_contract_minor_that_is_too_new_is_incompatible(distributions: Distributions) -> None:
    manifest = """
        @hookimpl
        def flytepath_task_types():
            return [TaskTypeDeclaration(name="new", task_type="a:b", contract_minor=99)]
    """
    distributions.add("new", manifest)
    manager = PluginManager.load()
    assert record(manager, "new").state == "incompatible"
    assert "it needs contract 1.99" in record(manager, "new").cause
    with pytest.raises(PluginQuarantinedError, match="new"):
        manager.task_type("new")


def test_one_failing_hook_takes_all_of_its_plugin_out(distributions: Distributions) -> None:
    raising = "\n        @hookimpl\n        def flytepath_backends(): raise OSError('down')\n"
    distributions.add("half", task_type("half") + raising)
    manager = PluginManager.load()
    assert record(manager, "half").declarations == {}
    with pytest.raises(PluginQuarantinedError, match="flytepath_backends raised OSError: down") as caught:
        manager.task_type("half")
    assert "flytepath plugins doctor" in (caught.value.hint or "")


def test_what_a_manifest_prints_goes_nowhere(distributions: Distributions, capfd: pytest.CaptureFixture[str]) -> None:
    distributions.add("loud", 'import os, sys\nprint("out")\nsys.stderr.write("err")\nos.write(1, b"raw")\n')
    assert record(PluginManager.load(), "loud").state == "enabled"
    assert capfd.readouterr() == ("", "")


def test_two_entries_of_one_distribution_are_refused(distributions: Distributions) -> None:
    distributions.add("one", entries={"one": "flyte_plugin_one.plugin", "two": "flyte_plugin_one.plugin"})
    states = distributions.states()
    assert states["one"][0] == states["two"][0] == "quarantined"
    assert "2 entry points" in states["one"][1]


def test_a_manifest_that_does_not_exist_says_so(distributions: Distributions) -> None:
    distributions.add("gone", entries={"gone": "flyte_plugin_gone.nowhere"})
    assert "does not exist" in record(PluginManager.load(), "gone").cause


def test_a_claim_of_a_plugin_that_broke_later_names_the_cause(distributions: Distributions) -> None:
    distributions.add("late")
    assert PluginManager.load().task_type("late").plugin == "late"
    distributions.add("late", "raise RuntimeError('bad release')", version="2.0")
    with pytest.raises(PluginQuarantinedError, match="bad release"):
        PluginManager.load().task_type("late")


def test_without_an_earlier_index_the_hint_names_what_was_set_aside(distributions: Distributions) -> None:
    distributions.add("late", "raise RuntimeError('bad release')")
    with pytest.raises(PluginNotFoundError) as caught:
        PluginManager.load().task_type("late")
    assert "set aside: late" in (caught.value.hint or "")


def test_strict_mode_lists_everything_that_is_wrong(distributions: Distributions) -> None:
    distributions.add("broken", "raise RuntimeError('no')")
    distributions.add("first", task_type("same"))
    distributions.add("second", task_type("same"))
    with pytest.raises(PluginError) as caught:
        PluginManager.load(strict=True)
    assert "broken" in str(caught.value)
    assert "task-type:same is claimed by flyte-plugin-first and flyte-plugin-second" in str(caught.value)


def test_a_hundred_plugins_of_which_five_are_broken(distributions: Distributions) -> None:
    for number in range(100):
        distributions.add(f"p{number}", "import os\nos._exit(1)" if number % 20 == 7 else "")
    states = distributions.states()
    broken = [name for name, (state, _, _) in states.items() if state == "quarantined"]
    assert sorted(broken) == ["p27", "p47", "p67", "p7", "p87"]
    assert sum(state == "enabled" for name, (state, _, _) in states.items() if name.startswith("p")) >= 95


def test_the_imports_and_the_time_of_a_manifest_are_recorded(distributions: Distributions) -> None:
    distributions.add("heavy", "import sqlite3.dbapi2")
    found = record(PluginManager.load(), "heavy")
    assert "sqlite3.dbapi2" in found.imported_modules
    assert found.import_seconds > 0
    assert not any(name.startswith(("flytepath", "flyte_plugin_heavy")) for name in found.imported_modules)


def test_a_distribution_that_is_half_removed_hides_no_other(distributions: Distributions) -> None:
    distributions.add("works")
    (distributions.folder / "flyte_plugin_ruin-1.0.dist-info").mkdir()
    broken = distributions.folder / "flyte_plugin_odd-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: flyte-plugin-odd\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[flytepath.v1\nno entry point at all\n")
    assert PluginManager.load().task_type("works").plugin == "works"
