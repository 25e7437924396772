"""What is recorded of the machine and the Python that an execution was begun with."""

from __future__ import annotations


def facts() -> dict[str, str]:
    """The versions of Python and FlytePath, and the platform.

    Example:
        >>> sorted(facts())
        ['flytepath', 'platform', 'python']
    """
    import platform

    from flytepath import __version__

    return {"python": platform.python_version(), "platform": platform.platform(), "flytepath": __version__}
