"""PyTorch for FlytePath: gangs of processes, and tensors, modules and checkpoints as types."""

from __future__ import annotations
