"""Two plugins that claim one thing: an error that names both and the route that decides, never the last one."""

from __future__ import annotations

import pytest
from fake_distributions import Distributions, task_type, transformer
from flytepath.errors import ConfigError, PluginConflictError, PluginQuarantinedError
from flytepath.plugin.manager import PluginManager

TYPE = "flyte_plugin_model.Model"


def test_a_task_type_claimed_twice_is_an_error_on_use_and_nothing_else_stops(distributions: Distributions) -> None:
    distributions.add("first", task_type("spark", "flyte_plugin_first"))
    distributions.add("second", task_type("spark", "flyte_plugin_second"))
    distributions.add("other")
    manager = PluginManager.load()
    with pytest.raises(PluginConflictError) as caught:
        manager.task_type("spark")
    assert "flyte-plugin-first 1.0 and flyte-plugin-second 1.0" in caught.value.message
    assert '[plugins.routes] "task-type:spark"' in (caught.value.hint or "")
    assert manager.task_type("other").plugin == "other"
    assert [(item.key, item.decided_by) for item in manager.conflicts] == [("task-type:spark", None)]
    assert [claimant.plugin for claimant in manager.conflicts[0].claimants] == ["first", "second"]


@pytest.mark.parametrize("winner", ["first", "second"])
def test_a_route_decides_who_provides_a_task_type(distributions: Distributions, winner: str) -> None:
    distributions.add("first", task_type("spark", "flyte_plugin_first"))
    distributions.add("second", task_type("spark", "flyte_plugin_second"))
    path = distributions.configure(f'[plugins.routes]\n"task-type:spark" = "Flyte_Plugin-{winner}"')
    manager = PluginManager.load()
    assert manager.task_type("spark").plugin == winner
    assert str(path) in (manager.conflicts[0].decided_by or "")
    assert manager.conflicts[0].winner == f"flyte-plugin-{winner}"


def python_type(distributions: Distributions) -> type:
    source = distributions.folder / "flyte_plugin_model.py"
    source.write_text("class Model:\n    pass\n")
    import importlib

    importlib.invalidate_caches()
    found: type = importlib.import_module("flyte_plugin_model").Model
    return found


def test_a_python_type_claimed_twice_is_an_error_on_use(distributions: Distributions) -> None:
    model = python_type(distributions)
    distributions.add("first", transformer(TYPE, "flyte_plugin_first"))
    distributions.add("second", transformer(TYPE, "flyte_plugin_second", "subclass"))
    with pytest.raises(PluginConflictError, match=r"both claim 'python-type:flyte_plugin_model\.Model'"):
        PluginManager.load().transformer_for(model)


@pytest.mark.parametrize("winner", ["first", "second"])
def test_a_route_decides_who_turns_a_python_type_into_literals(distributions: Distributions, winner: str) -> None:
    model = python_type(distributions)
    distributions.add("first", transformer(TYPE, "flyte_plugin_first"))
    distributions.add("second", transformer(TYPE, "flyte_plugin_second", "subclass"))
    distributions.configure(f'[plugins.routes]\n"python-type:{TYPE}" = "flyte-plugin-{winner}"')
    claim = PluginManager.load().transformer_for(model)
    assert claim is not None
    assert claim.plugin == winner


def test_two_distributions_of_one_entry_point_name_are_both_left_alone(distributions: Distributions) -> None:
    marker = distributions.folder / "imported"
    for name in ("first", "second"):
        distributions.add("twin", f"open({str(marker)!r}, 'a').close()", distribution=f"flyte-plugin-{name}")
    state, cause, hint = distributions.states()["twin"]
    assert state == "quarantined"
    assert "flyte-plugin-first and flyte-plugin-second both have the entry point 'twin'" in cause
    assert '"entry-point:twin"' in hint
    assert not marker.exists()
    assert [item.key for item in PluginManager.load().conflicts] == ["entry-point:twin"]


@pytest.mark.parametrize("winner, loser", [("first", "second"), ("second", "first")])
def test_a_route_decides_whose_entry_point_counts(distributions: Distributions, winner: str, loser: str) -> None:
    for name in ("first", "second"):
        distributions.add("twin", task_type(f"type-{name}", "flyte_plugin_x"), distribution=f"flyte-plugin-{name}")
    distributions.configure(f'[plugins.routes]\n"entry-point:twin" = "flyte-plugin-{winner}"')
    manager = PluginManager.load()
    states = {item.distribution: item.state for item in manager.plugins}
    assert states[f"flyte-plugin-{winner}"] == "enabled"
    assert states[f"flyte-plugin-{loser}"] == "denied"
    assert manager.task_type(f"type-{winner}").distribution == f"flyte-plugin-{winner}"


ROUTES_TO_NOTHING = {
    "a distribution that is not installed": ('"task-type:spark" = "flyte-plugin-sparc"', "'flyte-plugin-spark'"),
    "a claim that nobody makes": ('"task-type:sprak" = "flyte-plugin-spark"', "'task-type:spark'"),
    "a distribution that does not claim it": ('"task-type:spark" = "flyte-plugin-other"', "'flyte-plugin-spark'"),
    "an entry point that it has not": ('"entry-point:spark" = "flyte-plugin-other"', "'flyte-plugin-spark'"),
}


@pytest.mark.parametrize("route, nearest", ROUTES_TO_NOTHING.values(), ids=ROUTES_TO_NOTHING)
def test_a_route_to_nothing_names_file_key_and_nearest(distributions: Distributions, route: str, nearest: str) -> None:
    distributions.add("spark")
    distributions.add("other")
    path = distributions.configure(f"[plugins.routes]\n{route}")
    with pytest.raises(ConfigError) as caught:
        PluginManager.load()
    assert str(path) in (caught.value.place or "")
    assert "plugins.routes" in (caught.value.place or "")
    assert nearest in (caught.value.hint or "")


def test_a_route_to_a_broken_plugin_stops_nothing(distributions: Distributions) -> None:
    distributions.add("spark", "raise RuntimeError('no')")
    distributions.add("other")
    distributions.configure('[plugins.routes]\n"task-type:spark" = "flyte-plugin-spark"')
    assert PluginManager.load().task_type("other").plugin == "other"


def test_core_keeps_what_a_plugin_claims_too(distributions: Distributions) -> None:
    distributions.add("greedy", task_type("python", "flyte_plugin_greedy"))
    manager = PluginManager.load()
    assert manager.task_type("python").plugin == "flytepath"
    assert [(item.key, item.decided_by) for item in manager.conflicts] == [("task-type:python", "core")]


def test_no_route_leads_away_from_core(distributions: Distributions) -> None:
    distributions.add("greedy", task_type("python", "flyte_plugin_greedy"))
    distributions.configure('[plugins.routes]\n"task-type:python" = "flyte-plugin-greedy"')
    with pytest.raises(ConfigError, match="leads away from core"):
        PluginManager.load()


def test_a_plugin_may_not_bear_the_name_of_core(distributions: Distributions) -> None:
    distributions.add("flytepath", distribution="flyte-plugin-impostor")
    states = {item.distribution: item.state for item in PluginManager.load().plugins}
    assert states["flyte-plugin-impostor"] == "quarantined"
    assert states["flytepath"] == "enabled"


def test_cli_commands_of_two_plugins_are_left_out_until_a_route_decides(distributions: Distributions) -> None:
    for name in ("first", "second"):
        distributions.add(
            name,
            f"@hookimpl\ndef flytepath_cli_commands(): return [CliCommandDeclaration(name='x', command='{name}:x')]",
        )
    assert PluginManager.load().cli_commands() == ()
    distributions.configure('[plugins.routes]\n"cli-command:x" = "flyte-plugin-second"')
    assert [claim.plugin for claim in PluginManager.load().cli_commands()] == ["second"]


def test_a_pin_that_is_not_met_sets_the_plugin_aside_before_it_is_imported(distributions: Distributions) -> None:
    marker = distributions.folder / "imported"
    distributions.add("spark", f"open({str(marker)!r}, 'w').close()", version="2.0")
    distributions.configure('[plugins]\npins = ["spark ~= 1.2"]')
    state, cause, _ = distributions.states()["spark"]
    assert state == "quarantined"
    assert "version 2.0 is not the pinned 'spark ~= 1.2'" in cause
    assert not marker.exists()
    distributions.add("spark", version="1.4")
    assert distributions.states()["spark"][0] == "enabled"


def test_what_a_quarantined_plugin_claims_is_not_a_conflict(distributions: Distributions) -> None:
    distributions.add("first", task_type("spark", "flyte_plugin_first"))
    raising = "\n        @hookimpl\n        def flytepath_backends(): raise OSError\n"
    distributions.add("second", task_type("spark", "flyte_plugin_second") + raising)
    manager = PluginManager.load()
    assert manager.conflicts == ()
    assert manager.task_type("spark").plugin == "first"
    with pytest.raises(PluginQuarantinedError):
        manager.task_type_for(type("Config", (), {"__module__": "flyte_plugin_second.task"}))
