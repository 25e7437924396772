"""A SageMaker to test against: moto behind what moto lacks, with containers that really run as local processes.

``SageMakerDouble`` is the server; ``sagemaker_double`` in ``flyte_plugin_sagemaker.testing.fixtures`` gives one to each
test.
"""

from __future__ import annotations

from flyte_plugin_sagemaker.testing.calls import Call, Refusal
from flyte_plugin_sagemaker.testing.server import SageMakerDouble

__all__ = ["Call", "Refusal", "SageMakerDouble"]
