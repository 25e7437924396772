"""Kubernetes for FlytePath: any task or container on a cluster, and the base for plugins that create objects there."""

from __future__ import annotations
