"""Kinds of tasks that are no plain function: scripts, containers, queries, sensors."""
