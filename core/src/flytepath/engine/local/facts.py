"""What is recorded of the machine and the Python that an execution was begun with."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """Interpreter, platform, release, and plugins with their versions.

    Example:
        >>> sorted(environment())[:2]
        ['flytepath', 'platform']
    """
    import platform

    from flytepath import __version__
    from flytepath.plugin.manager import current

    facts = {"python": platform.python_version(), "platform": platform.platform(), "flytepath": __version__}
    return facts | {f"plugin:{plugin.distribution}": plugin.version for plugin in current().plugins[1:]}
