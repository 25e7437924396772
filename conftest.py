"""How long property tests may search, in the default tier and in the long one; and where there are no doctests."""

from __future__ import annotations

import pytest

# --doctest-modules would import each of them under one name.
collect_ignore_glob = ["*/conftest.py"]


def pytest_configure(config: pytest.Config) -> None:
    """Pick hypothesis's profile by tier: a busy machine never fails a test for being slow."""
    try:
        from hypothesis import HealthCheck, settings
    except ImportError:  # an environment without property tests, such as a plugin author's own
        return
    slow = [HealthCheck.too_slow]
    settings.register_profile("quick", deadline=None, suppress_health_check=slow, print_blob=True)
    settings.register_profile("proof", settings.get_profile("quick"), max_examples=1000)
    settings.load_profile("proof" if config.getoption("markexpr") == "proof or not proof" else "quick")
