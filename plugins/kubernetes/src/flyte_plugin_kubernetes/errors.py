"""What is refused before anything is asked of a cluster: pods, names and resources that it could never run."""

from __future__ import annotations

from flytepath.plugin import DefinitionError


class PodSpecError(DefinitionError):
    """A pod that no cluster takes, or one that could not run the task."""

    code = "FP-K8S-POD"


class KubernetesNameError(DefinitionError):
    """A text that cannot be the name, the label or the annotation it is meant for."""

    code = "FP-K8S-NAME"


class KubernetesResourcesError(DefinitionError):
    """Resources that no container can have: unreadable ones, or requests above their limits."""

    code = "FP-K8S-RESOURCES"


class KubernetesSettingsError(DefinitionError):
    """``[backends.kubernetes]`` says what cannot be meant."""

    code = "FP-K8S-SETTINGS"


class ContainerValueError(DefinitionError):
    """A value that cannot stand in the command of a container."""

    code = "FP-K8S-CONTAINER"
