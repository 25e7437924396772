"""Notifications with phases, renderers of plugins, and packages added to an image later."""

from flytekit import Email, ImageSpec, WorkflowExecutionPhase
from flytekit.models.core.execution import WorkflowExecutionPhase as Phase
from flytekitplugins.deck.renderer import BoxRenderer, TableRenderer

MAIL = Email(phases=[WorkflowExecutionPhase.FAILED, Phase.SUCCEEDED], recipients_email=["a@example.org"])
IMAGE = ImageSpec(packages=["pandas"]).with_packages(["flytekitplugins-ray>=1", "git+https://example.org/flytekit.git"])
PACKAGES = ["flytekitplugins-spark==1.10"]
