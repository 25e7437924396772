from __future__ import annotations

from typing import Any

import pytest
from flytepath.authoring.declared.documentation import Description, Documentation, SourceCode
from flytepath.errors import DefinitionError


def test_json_keeps_documentation() -> None:
    whole = Documentation("short", Description(value="long", icon_link="x.png"), SourceCode("https://example.com"))
    assert Documentation.from_json(whole.to_json()) == whole
    assert Documentation(long_description="text").long_description == Description(value="text")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Documentation(short_description="x" * 256),
        lambda: Documentation(short_description=3),  # type: ignore[arg-type]
        lambda: Documentation(long_description=3),  # type: ignore[arg-type]
        lambda: Documentation(source_code="https://example.com"),  # type: ignore[arg-type]
        lambda: Description(value="a", uri="b"),
        lambda: Description(value="a", format=9),
        lambda: SourceCode(link=""),
    ],
)
def test_documentation_of_the_wrong_kind_is_refused(make: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert caught.value.place
