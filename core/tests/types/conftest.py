from __future__ import annotations

import json
from typing import Any

import pytest
from flytepath.model.literal import Literal
from flytepath.testing import MemoryBlobs
from flytepath.types.engine import codec


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
