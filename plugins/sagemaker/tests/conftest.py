"""A home of its own for every run of the tests, and one double of AWS for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flyte_plugin_sagemaker.testing.fixtures import sagemaker_double, shared_sagemaker

__all__ = ["sagemaker_double", "shared_sagemaker"]  # fixtures: what is imported here, tests may ask for


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Neither the home nor the credentials of whoever runs the tests are used."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYTEPATH_HOME", str(folder))
        for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"):
            patch.delenv(name, raising=False)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, str(folder / "none"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield folder
