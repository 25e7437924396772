"""What a plugin's code inside a task is told of the service that its values lie at."""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Iterator

import pytest
from fake_distributions import Distributions
from flytepath.authoring.context import ExecutionContext
from flytepath.errors import ConfigError, FlytePathError
from flytepath.model.identity import Tenant
from flytepath.plugin.manager import set_current

MANIFEST = """
    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="warehouse", backend="flyte_plugin_house.model:Nothing",
            settings="flyte_plugin_house.model:House", idempotency="B",
        )]
"""
MODEL = """
    from pydantic import BaseModel

    class House(BaseModel, extra="forbid"):
        account: str = ""
        role: str = "READER"
"""
CONFIGURED = """
[backends.warehouse]
account = "acme"
[projects.vision.backends.warehouse]
role = "VISION"
[projects.broken.backends.warehouse]
colour = "red"
"""


@pytest.fixture
def house(distributions: Distributions) -> Iterator[None]:
    path = distributions.add("house", MANIFEST)
    (path.parent / "model.py").write_text(textwrap.dedent(MODEL))
    importlib.invalidate_caches()
    distributions.configure(CONFIGURED)
    before = set_current(None)
    yield
    set_current(before)


def test_they_are_the_tenants_own_over_everybodys(house: None) -> None:
    told = ExecutionContext(tenant=Tenant("vision", "production")).backend_settings("warehouse")
    assert (told.account, told.role) == ("acme", "VISION")
    assert ExecutionContext().backend_settings("warehouse").role == "READER"


def test_wrong_ones_and_those_of_nobody_are_errors_that_say_so(house: None) -> None:
    with pytest.raises(ConfigError, match="colour"):
        ExecutionContext(tenant=Tenant("broken")).backend_settings("warehouse")
    with pytest.raises(FlytePathError, match="attic"):
        ExecutionContext().backend_settings("attic")
