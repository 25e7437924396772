"""botocore's descriptions of services, which are large: each is read once in a process, whoever asks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def service_models() -> Any:
    """The loader that all sessions share.

    Raises:
        ImportError: botocore is not installed.
    """
    from botocore.loaders import create_loader

    return create_loader()


def session_of_models() -> Any:
    """A session of botocore's own that reads no description again; boto3's takes it as ``botocore_session``.

    Raises:
        ImportError: botocore is not installed.
    """
    from botocore.session import Session

    session = Session()
    session.register_component("data_loader", service_models())
    return session


__all__ = ["service_models", "session_of_models"]
