"""Notifications with phases, renderers of plugins, and packages added to an image later."""

from flytepath import Email, ImageSpec, WorkflowExecutionPhase
from flytepath import WorkflowExecutionPhase as Phase
from flytepath import BoxRenderer, TableRenderer

MAIL = Email(phases=[WorkflowExecutionPhase.FAILED, Phase.SUCCEEDED], recipients_email=["a@example.org"])
IMAGE = ImageSpec(packages=["pandas"]).with_packages(["flyte-plugin-ray", "git+https://example.org/flytekit.git"])
PACKAGES = ["flytekitplugins-spark==1.10"]
