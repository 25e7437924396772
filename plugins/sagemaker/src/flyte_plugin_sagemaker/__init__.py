"""Amazon SageMaker for FlytePath: training jobs, and what follows them, as tasks.

The names are resolved on first use, so that importing this costs nothing; boto3 is imported where AWS is called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyte_plugin_sagemaker.errors import (
        MissingAwsLibraryError,
        SageMakerRequestError,
        SageMakerSettingsError,
        SageMakerTaskError,
        TrainingHostError,
    )
    from flyte_plugin_sagemaker.settings import SageMakerSettings
    from flyte_plugin_sagemaker.training_config import SagemakerTraining
    from flyte_plugin_sagemaker.training_hosts import TrainingHost

_HOME_OF = {
    "MissingAwsLibraryError": "errors",
    "SageMakerRequestError": "errors",
    "SageMakerSettings": "settings",
    "SageMakerSettingsError": "errors",
    "SageMakerTaskError": "errors",
    "SagemakerTraining": "training_config",
    "TrainingHost": "training_hosts",
    "TrainingHostError": "errors",
}

__all__ = [
    "MissingAwsLibraryError",
    "SageMakerRequestError",
    "SageMakerSettings",
    "SageMakerSettingsError",
    "SageMakerTaskError",
    "SagemakerTraining",
    "TrainingHost",
    "TrainingHostError",
]


def __getattr__(name: str) -> Any:
    room = _HOME_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
