"""The settings of a backend for a tenant: level over level, and over those of the backend it builds on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flytepath.config.settings import Configuration, load_configuration
from flytepath.engine.jobs.backends import settings_of
from flytepath.model.identity import Tenant

LEVELS = """
[backends.cluster]
url = "base"
zone = "base"
[backends.cluster.labels]
a = "base"
[projects.p.backends.cluster]
url = "base of p"
[projects.p.domains.production.backends.cluster]
zone = "base of p/production"
[backends.gangs]
queue = "gangs"
[projects.p.backends.gangs]
queue = "gangs of p"
[projects.p.backends.gangs.labels]
b = "p"
[projects.q.domains.production.backends.gangs]
zone = "gangs of q/production"
"""


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    (tmp_path / "flytepath.toml").write_text(LEVELS)
    monkeypatch.setenv("FLYTEPATH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FLYTEPATH_CONFIG", raising=False)
    return load_configuration(tmp_path)


@pytest.mark.parametrize(
    ("tenant", "found", "whose"),
    [
        (Tenant(), {"url": "base", "zone": "base", "labels": {"a": "base"}}, Tenant()),
        (Tenant("other", "production"), {"url": "base", "zone": "base", "labels": {"a": "base"}}, Tenant()),
        (Tenant("p", "staging"), {"url": "base of p", "zone": "base", "labels": {"a": "base"}}, Tenant("p")),
        (
            Tenant("p", "production"),
            {"url": "base of p", "zone": "base of p/production", "labels": {"a": "base"}},
            Tenant("p", "production"),
        ),
    ],
)
def test_domain_lies_over_project_over_everybody(
    configuration: Configuration, tenant: Tenant, found: dict[str, Any], whose: Tenant
) -> None:
    assert settings_of(configuration, "cluster", tenant) == (found, whose)


@pytest.mark.parametrize(
    ("tenant", "found", "whose"),
    [
        (Tenant(), {"url": "base", "zone": "base", "labels": {"a": "base"}, "queue": "gangs"}, Tenant()),
        (
            Tenant("p", "staging"),
            {"url": "base of p", "zone": "base", "labels": {"b": "p"}, "queue": "gangs of p"},
            Tenant("p"),
        ),
        (
            Tenant("p", "production"),
            {"url": "base of p", "zone": "base of p/production", "labels": {"b": "p"}, "queue": "gangs of p"},
            Tenant("p", "production"),
        ),
        (
            Tenant("q", "production"),
            {"url": "base", "zone": "gangs of q/production", "labels": {"a": "base"}, "queue": "gangs"},
            Tenant("q", "production"),
        ),
        (
            Tenant("q", "staging"),
            {"url": "base", "zone": "base", "labels": {"a": "base"}, "queue": "gangs"},
            Tenant(),
        ),
    ],
)
def test_a_backend_lies_over_the_one_it_builds_on(
    configuration: Configuration, tenant: Tenant, found: dict[str, Any], whose: Tenant
) -> None:
    assert settings_of(configuration, "gangs", tenant, "cluster") == (found, whose)


def test_the_base_is_as_it_was_whoever_builds_on_it(configuration: Configuration) -> None:
    before = settings_of(configuration, "cluster", Tenant("p", "production"))
    settings_of(configuration, "gangs", Tenant("p", "production"), "cluster")
    assert settings_of(configuration, "cluster", Tenant("p", "production")) == before


def test_a_plugin_may_lay_levels_over_each_other_its_own_way(configuration: Configuration) -> None:
    seen: list[tuple[Any, Any]] = []

    def deep(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> Mapping[str, Any]:
        seen.append((dict(lower), dict(upper)))
        labels = {**lower.get("labels", {}), **upper.get("labels", {})}
        return {**lower, **upper, **({"labels": labels} if labels else {})}

    found, _ = settings_of(configuration, "gangs", Tenant("p", "production"), "cluster", deep)
    assert found["labels"] == {"a": "base", "b": "p"}
    assert [list(upper) for _, upper in seen] == [
        ["url", "zone", "labels"],
        ["url"],
        ["zone"],
        ["queue"],
        ["queue", "labels"],
    ]


def test_nothing_configured_is_nothing_and_everybodys(configuration: Configuration) -> None:
    assert settings_of(configuration, "unknown", Tenant("p", "production")) == ({}, Tenant())
