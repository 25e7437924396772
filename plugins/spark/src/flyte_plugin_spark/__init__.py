"""Apache Spark for FlytePath: tasks with a session, and Spark's frames and pipelines as types."""

from __future__ import annotations
