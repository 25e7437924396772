"""What the images of containers are to a kubelet that runs local processes: names that can be pulled or not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_REFERENCE = re.compile(
    r"^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z0-9+.-]+:[0-9a-fA-F]{32,})?$"
)


@dataclass(slots=True)
class Images:
    """Which images the node can pull, and what is in them.

    Args:
        missing: image to the registry's words; pulling it fails.
        without_python: images in which there is no ``python``.
        entrypoints: what an image runs where the container names no command.
    """

    missing: dict[str, str] = field(default_factory=dict)
    without_python: set[str] = field(default_factory=set)
    entrypoints: dict[str, list[str]] = field(default_factory=dict)

    def clear(self) -> None:
        """Every image can be pulled and has ``python`` again."""
        self.missing.clear()
        self.without_python.clear()
        self.entrypoints.clear()

    def cannot_pull(self, image: str, words: str | None = None) -> None:
        """Pulling this image fails from now on."""
        repository = image.rsplit(":", 1)[0] if ":" in image.rsplit("/", 1)[-1] else image
        full = f"docker.io/library/{image}" if "/" not in image else image
        self.missing[image] = words or (
            f'rpc error: code = NotFound desc = failed to pull and unpack image "{full}": failed to resolve reference '
            f'"{full}": pull access denied, repository does not exist or may require authorization: server message: '
            f"insufficient_scope: authorization failed for {repository}"
        )

    def fault(self, image: str, policy: str) -> tuple[str, str] | None:
        """The reason and the words why a container of this image must wait; ``None``: it is there."""
        if not _REFERENCE.match(image):
            words = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": invalid '
            return "InvalidImageName", f"{words}reference format"
        if image in self.missing:
            if policy == "Never":
                return "ErrImageNeverPull", f'Container image "{image}" is not present with pull policy of Never'
            return "ErrImagePull", self.missing[image]
        return None
