"""The plugin does the same with version 4 of the connector and with version 5, which is another program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flyte_plugin_snowflake.testing.service import Account, SnowflakeService
from snowflake_calls import until

#: A Python with this plugin and version 5 of the connector: fakesnow, and so the double, needs version 4 here.
OTHER = os.environ.get("FLYTEPATH_SNOWFLAKE_5_PYTHON", "")


@pytest.mark.parametrize(
    "python",
    [
        # All other tests run with version 4, in their own process.
        pytest.param(sys.executable, id="4", marks=pytest.mark.proof),
        pytest.param(
            OTHER,
            id="5",
            marks=pytest.mark.skipif(not OTHER, reason="FLYTEPATH_SNOWFLAKE_5_PYTHON names no Python with version 5"),
        ),
    ],
)
def test_a_life_of_queries(python: str, account: Account, snowflake_service: SnowflakeService) -> None:
    program = Path(__file__).with_name("snowflake_client.py")
    client = subprocess.Popen(
        [python, "-W", "ignore", str(program), str(snowflake_service.port), account.password],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: account.running() == 1 or client.poll() is not None)
        logins = len(account.logins)
        account.expire_sessions(renewable=False)
        out, err = client.communicate(timeout=100)
    finally:
        client.kill()
    assert client.returncode == 0, err
    assert len(account.logins) > logins, "a session that ended is followed by another"
    told = json.loads(out)
    assert int(told.pop("version").partition(".")[0]) == (5 if python == OTHER else 4)
    [status, reason] = told.pop("failed")
    assert status == "failed" and reason.startswith("Snowflake 002003") and "NOWHERE" in reason
    assert told == {
        "rows": [{"A": "7", "B": "it's"}],
        "text": 'it\'s \\ "{{ .inputs.x }}" ☃',
        "integer": str(2**62),
        "decimal": "1234567890123456.25",
        "small": "1E-9",
        "bytes": "b'\\x00\\x01\\x02'",
        "date": "2030-02-28",
        "truth": "True",
        "waited": "succeeded",
        "found": True,
        "cancelled": "cancelled",
        "owned": 11,
        "refused": ["auth", False],
        "unreachable": ["transient", False],
    }
