"""A home of its own for the tests, and the double of the service, started once for all of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # What libraries say of themselves when they are imported; in tests every warning is an error.
    warnings.simplefilter("ignore")
    import snowflake.connector  # noqa: F401

from flyte_plugin_snowflake.testing.service import Account, SnowflakeService
from snowflake_vendor import settings_text


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            # fakesnow's use of its own database, in the double's thread.
            item.add_marker(pytest.mark.filterwarnings("ignore:Arrow output on a DB-API:UserWarning"))


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYTEPATH_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def snowflake_service() -> Iterator[SnowflakeService]:
    """The double; take ``account`` to have it as it was when it began."""
    with SnowflakeService() as service:
        yield service


@pytest.fixture
def account(snowflake_service: SnowflakeService) -> Iterator[Account]:
    """The double's account as it was when it began."""
    snowflake_service.account.reset()
    yield snowflake_service.account
    snowflake_service.account.reset()


@pytest.fixture
def snowflake_home(
    snowflake_service: SnowflakeService, account: Account, flytepath_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A home whose configuration leads to the double; it is the current folder."""
    (flytepath_home / "flytepath.toml").write_text(settings_text(snowflake_service.port))
    monkeypatch.setenv("_FSEC_SNOWFLAKE_PASSWORD", account.password)
    monkeypatch.chdir(flytepath_home)
    return flytepath_home
