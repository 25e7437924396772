from __future__ import annotations

from typing import Any

import pytest
from flytepath.authoring.declared.caching import Cache, VersionParameters
from flytepath.errors import DefinitionError


class Fixed:
    def __init__(self, version: Any) -> None:
        self.version = version

    def get_version(self, salt: str, params: VersionParameters[..., Any]) -> Any:
        return self.version if salt == "" else f"{salt}{self.version}"


def body(x: int) -> int:
    return x


PARAMETERS: VersionParameters[..., Any] = VersionParameters(func=body)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"version": ""},
        {"version": 1},
        {"version": "1", "serialize": 1},
        {"version": "1", "salt": None},
        {"version": "1", "ignored_inputs": [1]},
        {"version": "1", "ignored_inputs": ("",)},
        {"policies": []},
        {"policies": [object()]},
        {"policies": Fixed},
    ],
)
def test_a_cache_that_cannot_work_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError) as caught:
        Cache(**arguments)
    assert caught.value.place and caught.value.place.startswith("Cache(")


def test_a_policy_class_instead_of_an_instance_has_a_hint() -> None:
    with pytest.raises(DefinitionError, match=r"write Fixed\(\)"):
        Cache(policies=Fixed)  # type: ignore[arg-type]


def test_an_explicit_version_goes_before_policies() -> None:
    assert Cache(version="1", policies=Fixed("2")).get_version(PARAMETERS) == "1"


def test_policies_are_combined_so_that_none_hides_another() -> None:
    versions = {
        Cache(policies=policies).get_version(PARAMETERS)
        for policies in ([Fixed("ab"), Fixed("c")], [Fixed("a"), Fixed("bc")], [Fixed("abc")], Fixed("abcd"))
    }
    assert len(versions) == 4
    assert Cache(policies=Fixed("a")).get_version(PARAMETERS) == Cache(policies=[Fixed("a")]).get_version(PARAMETERS)
    assert Cache(policies=Fixed("a"), salt="s").get_version(PARAMETERS) not in versions


def test_a_policy_that_gives_no_text_is_refused() -> None:
    with pytest.raises(DefinitionError, match="get_version"):
        Cache(policies=Fixed(3)).get_version(PARAMETERS)


def test_an_ignored_input_must_exist() -> None:
    cache = Cache(version="1", ignored_inputs=("x", "verbos"))
    with pytest.raises(DefinitionError, match="verbos"):
        cache.check_inputs(("x", "verbose"), "flow.train")
    Cache(version="1", ignored_inputs="x").check_inputs(("x",), "flow.train")
