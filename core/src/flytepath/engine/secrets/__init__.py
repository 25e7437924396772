"""Secrets: core's own sources of them, the one way to a value, and the note of what a task was given.

``environment``, ``files`` and ``keyrings`` are the providers, ``resolving`` asks them, ``configured`` says which and
where. ``given`` is what a worker needs to keep values out of all that it tells; the rest is imported when it is used.
"""
