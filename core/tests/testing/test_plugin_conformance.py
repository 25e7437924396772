"""The kit passes a plugin that is right, and fails exactly the check that a broken one breaks, saying what to do."""

from __future__ import annotations

import pytest
from flytepath.testing import ConformanceError, PluginConformance
from kit_sources import MANIFEST, TASK

CHECKS = sorted(name for name in vars(PluginConformance) if name.startswith("test_"))
#: Asks the plugin manager about everything that is installed; has a test of its own.
ENABLED = "test_is_found_by_its_entry_point_and_enabled"


def failures(plugin) -> dict[str, ConformanceError]:
    found = {}
    for name in CHECKS:
        if name == ENABLED:
            continue
        try:
            getattr(plugin.checks, name)()
        except ConformanceError as error:
            found[name] = error
    return found


def only(plugin, check: str) -> str:
    found = failures(plugin)
    assert set(found) == {check}, {name: str(error) for name, error in found.items()}
    assert found[check].hint
    return str(found[check])


def test_a_plugin_that_keeps_the_rules_passes(install):
    assert failures(install()) == {}


def test_a_missing_entry_point_is_found_out(install):
    plugin = install(group="flytepath.v2")
    with pytest.raises(ConformanceError, match="no installed distribution") as caught:
        plugin.checks.test_has_one_entry_for_its_distribution()
    assert "'flytepath.v2'" in str(caught.value)


def test_two_entries_of_one_distribution_are_refused(install):
    text = only(install(more_entries=("other = json",)), "test_has_one_entry_for_its_distribution")
    assert "other" in text
    assert "one manifest" in text


def test_two_distributions_with_one_name_are_refused(install):
    first = install()
    install(more_entries=(f"{first.package} = json",))
    with pytest.raises(ConformanceError, match="several distributions"):
        first.checks.test_has_one_entry_for_its_distribution()


def test_a_slow_manifest_is_refused(install):
    busy = "import time\nend = time.perf_counter() + 0.25\nwhile time.perf_counter() < end: pass\n"
    text = only(
        install(files={"slow.py": busy}, manifest=MANIFEST + "\n    import {package}.slow\n"), "test_manifest_is_quick"
    )
    assert "lazy" in text
    assert ".slow" in text


def test_a_manifest_that_imports_a_library_is_named_with_it(install):
    plugin = install(manifest="    import pytest\n" + MANIFEST)
    with pytest.raises(ConformanceError, match=r"imports .*pytest") as caught:
        plugin.checks.test_manifest_imports_nothing_foreign()
    assert "module:attribute" in str(caught.value)


def test_a_manifest_that_cannot_be_imported_tells_its_error(install):
    plugin = install(manifest="import a_library_that_is_not_there\n")
    with pytest.raises(ConformanceError, match="cannot be read") as caught:
        plugin.checks.test_manifest_imports_nothing_foreign()
    assert "a_library_that_is_not_there" in str(caught.value)


def test_what_a_manifest_prints_does_no_harm(install):
    assert failures(install(manifest='    print("hello")\n' + MANIFEST)) == {}


def test_an_unknown_hook_is_refused(install):
    unknown = MANIFEST + "\n    @hookimpl\n    def flytepath_task_typos():\n        return []\n"
    assert "flytepath_task_typos" in only(install(manifest=unknown), "test_hooks_are_known_and_marked")


def test_a_hook_without_its_mark_is_refused(install):
    unmarked = MANIFEST + "\n    def flytepath_backends():\n        return []\n"
    assert "@hookimpl" in only(install(manifest=unmarked), "test_hooks_are_known_and_marked")


def test_a_hook_that_returns_something_else_is_refused(install):
    wrong = MANIFEST + '\n    @hookimpl\n    def flytepath_backends():\n        return ["kubernetes"]\n'
    assert "BackendDeclaration" in only(install(manifest=wrong), "test_hooks_are_known_and_marked")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("task:SampleType", "task:Missing", "Missing"),
        ("task:SampleType", "nowhere:SampleType", "install what provides"),
        ("task:SampleType", "task:Config", "subclass of flytepath.plugin.TaskType"),
        ('format="thing"', 'format="other"', "writes format 'thing'"),
    ],
)
def test_a_reference_that_leads_astray_is_refused(install, old, new, said):
    assert said in only(install(manifest=MANIFEST.replace(old, new)), "test_declarations_resolve")


def test_an_abstract_class_is_refused(install):
    abstract = """
    from flytepath.plugin import TypeTransformer
    class Thing: ...
    class ThingTransformer(TypeTransformer):
        format = "thing"
    """
    assert "does not implement decode, encode" in only(install(types=abstract), "test_declarations_resolve")


def test_a_type_named_by_another_module_is_refused(install):
    moved = MANIFEST.replace("{package}.types.Thing", "{package}.alias.Thing")
    plugin = install(manifest=moved, files={"alias.py": "from {package}.types import Thing\n"})
    text = only(plugin, "test_type_names_are_those_of_the_defining_module")
    assert f"{plugin.package}.types.Thing" in text


@pytest.mark.parametrize(
    ("statement", "subject"),
    [
        ("import logging; logging.getLogger().addHandler(logging.StreamHandler())", "logging handlers"),
        ("import warnings; warnings.simplefilter('ignore')", "warnings filters"),
        ("import sys; sys.path.append('/elsewhere')", "sys.path"),
        ("import os; os.environ['LEFT_BEHIND'] = '1'", "os.environ"),
        ("import signal; signal.signal(signal.SIGUSR1, lambda *a: None)", "signal handlers"),
        ("import copyreg; copyreg.pickle(Config, lambda c: (Config, ()))", "pickle and copyreg"),
        ("import atexit; atexit.register(print)", "atexit"),
        ("import fsspec; fsspec.register_implementation('kit', 'kit.FS')", "fsspec"),
        ("import random; random.seed(1)", "random state"),
        ("import threading; threading.Thread(target=threading.Event().wait, daemon=True, name='mine').start()", "mine"),
    ],
)
def test_a_registration_for_the_whole_process_is_refused(install, statement, subject):
    text = only(install(task=TASK + f"\n    {statement}\n"), "test_changes_nothing_in_the_process")
    assert subject in text
    assert "resolving its declarations" in text


def test_values_of_the_environment_are_never_shown(install):
    plugin = install(task=TASK + "\n    import os; os.environ['TOKEN'] = 'hunter2'\n")
    assert "hunter2" not in only(plugin, "test_changes_nothing_in_the_process")


def test_declarations_in_hash_order_are_refused(install):
    unstable = MANIFEST.replace('python_types=("{package}.types.Thing",)', 'python_types=tuple({*"abcdefgh"})')
    plugin = install(manifest=unstable)
    with pytest.raises(ConformanceError, match="differ from process to process") as caught:
        plugin.checks.test_declarations_are_the_same_in_every_process()
    assert "sorted" in str(caught.value)


def test_a_package_without_py_typed_is_refused(install):
    assert "py.typed" in only(install(typed=False), "test_package_is_typed")


def test_a_distribution_without_readme_is_refused(install):
    assert "readme" in only(install(readme=""), "test_distribution_has_a_readme")


@pytest.mark.parametrize(
    ("requires", "said"),
    [
        (("flytepath>=0.1,<2", "pandas"), "pandas"),
        (("flytepath>=0.1,<2", "pandas<3"), "pandas<3"),
        (("flytepath>=0.1",), "<2"),
        (("flytepath>=0.1,<3",), "<2"),
        ((), "does not require flytepath"),
    ],
)
def test_requirements_without_bounds_are_refused(install, requires, said):
    assert said in only(install(requires=requires), "test_requirements_are_bounded")


@pytest.mark.parametrize(
    "line", ["import flytepath.engine", "from flytepath import store", "from flytepath.errors import X"]
)
def test_an_import_past_the_doors_of_core_is_refused(install, line):
    plugin = install(files={"deep.py": f"\n{line}\n"})
    assert "deep.py:2" in only(plugin, "test_imports_only_the_doors_of_core")


def test_a_manager_keeps_nothing_of_it(install, monkeypatch):
    plugin = install()
    plugin.checks.inspection.first["pluggy"]["left"] = ["flytepath_task_types"]
    assert "flytepath_task_types" in only(plugin, "test_unregisters_without_a_trace")


def test_core_enables_what_keeps_the_rules(install, tmp_path):
    getattr(install().checks, ENABLED)(tmp_path / "home")


def test_a_manifest_that_core_quarantines_fails_with_its_cause(install, tmp_path):
    plugin = install(manifest="raise RuntimeError('no luck')\n")
    with pytest.raises(ConformanceError, match="does not enable") as caught:
        getattr(plugin.checks, ENABLED)(tmp_path / "home")
    assert "no luck" in str(caught.value)


def test_a_claim_that_another_plugin_makes_too_is_refused(install, tmp_path):
    first = install()
    taken = MANIFEST.replace('name="{package}"', f'name="{first.package}"')
    second = install(manifest=taken)
    with pytest.raises(ConformanceError, match=f"task-type:{first.package}"):
        getattr(second.checks, ENABLED)(tmp_path / "home")
