"""The backend kit passes what is right, says what it skips, and fails the check that a broken backend breaks."""

from __future__ import annotations

from memory_cloud import MemoryConformance


class TestTheKitPasses(MemoryConformance):
    """The class as an author would write it: pytest collects and passes every check."""
