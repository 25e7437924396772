"""The plugin keeps to the contract, as the conformance kit tells it."""

from __future__ import annotations

from flytepath.testing import PluginConformance


class TestPlugin(PluginConformance):
    plugin = "pytorch"
