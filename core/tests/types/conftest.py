from __future__ import annotations

import json
from typing import Any

import pytest
from flytepath.model.literal import Literal
from flytepath.testing import MemoryBlobs
from flytepath.types.engine import codec


@pytest.fixture(autouse=True, scope="session")
def own_home(tmp_path_factory):
    """Classes that plugins might claim make the engine read the plugin index, which must be that of the test."""
    from flytepath.plugin.manager import set_current

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYTEPATH_HOME", str(tmp_path_factory.mktemp("home")))
        before = set_current(None)
        yield
        set_current(before)


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def round_trip(blobs):
    def there_and_back(t: Any, value: Any) -> Any:
        literal = codec(t).encode(value, blobs)
        sent = json.loads(json.dumps(literal.to_json()))
        received = Literal.from_json(sent)
        assert received == literal
        return codec(t).decode(received, blobs)

    return there_and_back
