from __future__ import annotations

from typing import Any

import pytest
from flytepath.errors import DefinitionError
from flytepath.model.secret import Secret


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"group": ""},
        {"group": 3},
        {"group": "a", "key": ""},
        {"group": "a", "mount_requirement": 7},
        {"group": "a", "mount_requirement": "FILE"},
        {"group": "a", "env_var": "1x"},
        {"group": "a", "env_var": "A-B"},
        {"group": "a", "env_var": ""},
        {"group": "a", "scheme": ""},
        {"group": "a", "scheme": "Vault"},
        {"group": "a", "scheme": "9"},
        {"group": "a", "scheme": "a b"},
        {"group": "a", "scheme": 1},
        {"group": "a", "env_var": "TOKEN", "mount_requirement": Secret.MountType.FILE},
    ],
)
def test_a_request_that_can_never_be_met_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError) as caught:
        Secret(**arguments)
    assert caught.value.place


def test_a_request_keeps_its_json() -> None:
    secret = Secret("db", "password", "v2", Secret.MountType.ENV_VAR, "DB_PASSWORD")
    assert Secret.from_json(secret.to_json()) == secret
    assert Secret.from_json(Secret(key="token").to_json()) == Secret(key="token")
    named = Secret("db", "password", scheme="keyring")
    assert Secret.from_json(named.to_json()) == named
    assert named.to_json() == {"group": "db", "key": "password", "scheme": "keyring"}
