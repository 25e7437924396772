"""The policy: what is enabled for whom, which file said so, and every way to write it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_distributions import Distributions
from flytepath.config import config_files, home
from flytepath.errors import ConfigError, PluginDeniedError
from flytepath.model.identity import Tenant
from flytepath.plugin.claims import Claim
from flytepath.plugin.manager import PluginManager
from flytepath.plugin.policy import Policy

ML = Tenant("ml", "development")
ML_PRODUCTION = Tenant("ml", "production")
WEB = Tenant("web", "development")

TABLE = [
    # policy, name, tenant, enabled
    ("", "spark", None, True),
    ("[plugins]\nallow = []", "spark", None, False),
    ("[plugins]\nallow = ['spark']", "spark", None, True),
    ("[plugins]\nallow = ['spark']", "ray", None, False),
    ("[plugins]\nallow = ['sp*']", "spark", None, True),
    ("[plugins]\nallow = ['SP*']", "spark", None, False),
    ("[plugins]\ndeny = ['spark']", "spark", None, False),
    ("[plugins]\ndeny = ['spark']", "ray", None, True),
    ("[plugins]\nallow = ['spark']\ndeny = ['spark']", "spark", None, False),
    ("[plugins]\nallow = ['s*']\ndeny = ['sp*']", "spark", None, False),
    ("[plugins]\nallow = ['spark']\ndeny = ['*']", "spark", None, True),
    ("[plugins]\nallow = ['*']\ndeny = ['spark']", "spark", None, False),
    ("[plugins]\ndeny = ['*']", "flytepath", None, True),
    ("[plugins]\ndeny = ['spark']\n[projects.ml.plugins]\nallow = ['spark']", "spark", ML, True),
    ("[plugins]\ndeny = ['spark']\n[projects.ml.plugins]\nallow = ['spark']", "spark", WEB, False),
    ("[plugins]\ndeny = ['spark']\n[projects.ml.plugins]\nallow = ['spark']", "spark", None, False),
    ("[projects.ml.plugins]\nallow = ['ray']", "spark", ML, True),
    ("[plugins]\nallow = []\n[projects.ml.plugins]\nallow = ['ray']", "spark", ML, False),
    ("[projects.ml.plugins]\nallow = ['*']\ndeny = ['spark']", "spark", ML, False),
    ("[projects.ml.plugins]\ndeny=['*']\n[projects.ml.domains.production.plugins]\nallow=['spark']",
     "spark", ML_PRODUCTION, True),
    ("[projects.ml.plugins]\ndeny=['*']\n[projects.ml.domains.production.plugins]\nallow=['spark']",
     "spark", ML, False),
    ("[projects.ml.plugins]\nallow=['*']\n[projects.ml.domains.production.plugins]\ndeny=['spark']",
     "spark", ML_PRODUCTION, False),
]  # fmt: skip


@pytest.mark.parametrize("text, name, tenant, enabled", TABLE)
def test_the_most_specific_level_that_mentions_a_plugin_decides(
    distributions: Distributions, text: str, name: str, tenant: Tenant | None, enabled: bool
) -> None:
    distributions.configure(text)
    policy = Policy.load()
    assert policy.enabled(name, tenant) is enabled
    assert Policy.from_json(policy.to_json()) == policy


def test_why_names_the_file_and_the_key(distributions: Distributions) -> None:
    path = distributions.configure("[projects.ml.plugins]\ndeny = ['sp*']")
    assert Policy.load().why("spark", ML) == f"denied by 'sp*' in {path}: projects.ml.plugins.deny"
    assert Policy.load().why("spark") == "allowed by default: plugins.allow is not set"


def test_what_any_project_enables_is_indexed(distributions: Distributions) -> None:
    distributions.configure("[plugins]\nallow = []\n[projects.ml.domains.production.plugins]\nallow = ['spark']")
    policy = Policy.load()
    assert policy.indexed("spark")
    assert not policy.indexed("ray")


ERRORS = {
    "unknown key": ("[plugins]\nalow = ['x']", "plugins.alow", "'allow'"),
    "unknown table": ("[plugin]\nallow = ['x']", "plugin", "'plugins'"),
    "unknown key of a project": ("[projects.ml.plugins]\nstrict = true", "projects.ml.plugins.strict", "policy.md"),
    "unknown key of a domain": (
        "[projects.ml.domains.production.plugins]\ndney = []",
        "projects.ml.domains.production.plugins.dney",
        "'deny'",
    ),
    "text in place of a list": ("[plugins]\nallow = 'spark'", "plugins.allow", "policy.md"),
    "a number in a list": ("[plugins]\nallow = [1]", "plugins.allow", "policy.md"),
    "text in place of a truth value": ("[plugins]\nstrict = 'yes'", "plugins.strict", "policy.md"),
    "a deadline of nothing": ("[plugins]\nimport_timeout = 0", "plugins.import_timeout", "policy.md"),
    "no TOML": ("[plugins\nallow = []", "flytepath.toml", "correct the file"),
    "a pin that is none": ("[plugins]\npins = ['spark == ']", "plugins.pins", "compare versions"),
    "a pin with a URL": ("[plugins]\npins = ['spark @ https://x.org/a.whl']", "plugins.pins", "leave out"),
    "a route without a kind": ('[plugins.routes]\nspark = "d"', "plugins.routes.spark", "task-type"),
    "a route of an unknown kind": (
        '[plugins.routes]\n"task-typ:spark" = "d"',
        'plugins.routes."task-typ:spark"',
        "'task-type:spark'",
    ),
    "a route without a name": ('[plugins.routes]\n"task-type:" = "d"', "plugins.routes", "task-type"),
    "a route to no distribution": ('[plugins.routes]\n"task-type:x" = " "', "plugins.routes", "claimants"),
    "an impossible project": ("[projects.ML.plugins]\nallow = []", "projects.ML", ""),
}


@pytest.mark.parametrize("text, key, hint", ERRORS.values(), ids=ERRORS)
def test_a_wrong_policy_names_the_file_the_key_and_the_nearest_name(
    distributions: Distributions, text: str, key: str, hint: str
) -> None:
    path = distributions.configure(text)
    with pytest.raises(ConfigError) as caught:
        Policy.load()
    assert key in (caught.value.place or "")
    assert "projects.ML" in key or str(path) in (caught.value.place or "")
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    "variable, value, hint",
    [
        ("FLYTEPATH_PLUGINS__ALOW", "x", "'allow'"),
        ("FLYTEPATH_PLUGINS__STRICT", "perhaps", "policy.md"),
        ("FLYTEPATH_PLUGINS__ALLOW", '{"a": 1}', "policy.md"),
        ("FLYTEPATH_PLUGINS__IMPORT_TIMEOUT", "soon", "policy.md"),
    ],
)
def test_a_wrong_variable_is_named(
    distributions: Distributions, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, hint: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        Policy.load()
    assert caught.value.place == variable
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("value", ['["a", "b"]', "a,b", " a , b "])
def test_a_list_in_a_variable_is_json_or_separated_by_commas(
    distributions: Distributions, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("FLYTEPATH_PLUGINS__ALLOW", value)
    policy = Policy.load()
    assert (policy.enabled("a"), policy.enabled("b"), policy.enabled("c")) == (True, True, False)


def test_projects_are_reached_by_variables_too(distributions: Distributions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTEPATH_PROJECTS__ML__DOMAINS__PRODUCTION__PLUGINS__DENY", "spark,ray")
    assert not Policy.load().enabled("ray", ML_PRODUCTION)
    assert Policy.load().enabled("ray", ML)


def test_layers_merge_key_by_key_in_the_documented_order(
    distributions: Distributions, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributions.home.mkdir()
    (distributions.home / "flytepath.toml").write_text(
        "[plugins]\nallow = ['home']\ndeny = ['home-denied']\nimport_timeout = 1\npins = ['home>=1']"
    )
    (distributions.work / "pyproject.toml").write_text(
        "[tool.flytepath.plugins]\nallow = ['project']\nimport_timeout = 2\ndeny = ['project-denied']"
    )
    distributions.configure("[plugins]\nallow = ['file']\nimport_timeout = 3")
    monkeypatch.setenv("FLYTEPATH_PLUGINS__ALLOW", "variable")
    policy = Policy.load()
    assert policy.why("variable") == "allowed by 'variable' in FLYTEPATH_PLUGINS__ALLOW"
    assert policy.import_timeout == 3
    assert "pyproject.toml: plugins.deny" in policy.why("project-denied")
    assert [pin.requirement for pin in policy.pins] == ["home>=1"]


def test_the_nearest_files_upwards_count(distributions: Distributions, monkeypatch: pytest.MonkeyPatch) -> None:
    distributions.configure("[plugins]\ndeny = ['spark']")
    (distributions.work / "pyproject.toml").write_text("[tool.flytepath.plugins]\nstrict = true")
    inner = distributions.work / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "pyproject.toml").write_text("[project]\ndependencies = ['flytepath']")
    monkeypatch.chdir(inner)
    assert not Policy.load().enabled("spark")
    assert Policy.load().strict


def test_a_named_file_takes_the_place_of_the_nearest_ones(
    distributions: Distributions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    distributions.configure("[plugins]\ndeny = ['spark']")
    named = tmp_path / "other.toml"
    named.write_text("[plugins]\ndeny = ['ray']")
    monkeypatch.setenv("FLYTEPATH_CONFIG", str(named))
    assert [item.path for item in config_files()] == [named]
    assert Policy.load().enabled("spark")
    monkeypatch.setenv("FLYTEPATH_CONFIG", str(tmp_path / "gone.toml"))
    with pytest.raises(ConfigError, match=r"gone\.toml"):
        Policy.load()


def test_home_is_the_variable_or_a_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLYTEPATH_HOME", str(tmp_path / "here"))
    assert home() == tmp_path / "here"
    monkeypatch.delenv("FLYTEPATH_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path / ".flytepath"
    assert not home().exists()


def test_a_denied_plugin_is_never_imported(distributions: Distributions) -> None:
    marker = distributions.folder / "imported"
    distributions.add("spark", f"open({str(marker)!r}, 'w').close()")
    distributions.configure("[plugins]\ndeny = ['spark']")
    code = """
        manager = PluginManager.load()
        record = next(r for r in manager.plugins if r.name == "spark")
        answer = [record.state, record.cause, [m for m in sys.modules if m.startswith("flyte_plugin_spark")]]
    """
    state, cause, modules = distributions.run(code)
    assert (state, modules) == ("denied", [])
    assert "flytepath.toml: plugins.deny" in cause
    assert not marker.exists()


def test_an_enabled_plugin_is_not_imported_here_either(distributions: Distributions) -> None:
    distributions.add("spark")
    code = """
        PluginManager.load().task_type("spark")
        answer = [m for m in sys.modules if m.startswith("flyte_plugin_spark")]
    """
    assert distributions.run(code) == []


def test_a_claim_is_checked_for_each_project_and_domain(distributions: Distributions) -> None:
    distributions.add("spark")
    path = distributions.configure("[plugins]\nallow = []\n[projects.ml.plugins]\nallow = ['spark']")
    manager = PluginManager.load()
    claim = manager.task_type("spark")
    manager.check_enabled(claim, ML)
    with pytest.raises(PluginDeniedError) as caught:
        manager.check_enabled(claim, WEB)
    assert str(path) in (caught.value.place or "")
    manager.check_enabled(Claim(None, "flytepath", "flytepath", "1"), WEB)
