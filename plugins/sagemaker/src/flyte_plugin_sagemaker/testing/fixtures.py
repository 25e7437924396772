"""The fixtures of pytest that give the double to tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flyte_plugin_sagemaker.testing.server import SageMakerDouble


@pytest.fixture(scope="session")
def shared_sagemaker() -> Iterator[SageMakerDouble]:
    """One double for all tests of a run; use ``sagemaker_double``, which is empty for each."""
    with SageMakerDouble() as double:
        yield double


@pytest.fixture
def sagemaker_double(shared_sagemaker: SageMakerDouble) -> Iterator[SageMakerDouble]:
    """SageMaker, S3 and CloudWatch Logs, empty, on loopback, with the buckets ``artifacts`` and ``flytepath``."""
    shared_sagemaker.reset()
    for name in ("artifacts", "flytepath"):
        shared_sagemaker.bucket(name)
    yield shared_sagemaker
    errors = list(shared_sagemaker.errors)
    shared_sagemaker.errors.clear()
    shared_sagemaker.reset()
    assert not errors, f"the double failed itself: {errors!r}"
