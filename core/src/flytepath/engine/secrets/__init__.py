"""Secrets: core's own sources of them, the one way to a value, and the note of what a task was given.

``environment``, ``files`` and ``keyrings`` are the providers, ``resolving`` asks them, ``configured`` says which and
where. ``redaction`` finds values in what is told, and ``given`` notes what a worker has to keep out of that, which
``known`` replaces: those two alone are imported where no secret is used.
"""
