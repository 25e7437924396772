"""Gangs on Kubernetes: the objects of Kubeflow's training operator."""

from __future__ import annotations
