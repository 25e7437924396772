"""Tensors, modules and checkpoints as types of tasks' inputs and outputs."""

from __future__ import annotations
