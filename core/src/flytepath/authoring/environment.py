"""``Environment``: settings that several tasks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flytepath.authoring.settings import SETTING_NAMES
from flytepath.errors import DefinitionError

_OWN = frozenset({"task_config", "node_dependency_hints", "pickle_untyped"})


class Environment:
    """Settings of ``@task`` under one name; its ``task`` and ``dynamic`` are decorators with these settings.

    Args:
        settings: as for :func:`flytepath.task`.

    Raises:
        DefinitionError: a setting tasks do not have.

    Example:
        >>> from flytepath import Environment
        >>> env = Environment(retries=2)
        >>> @env.task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> double.settings.retries, double(x=2)
        (2, 4)
        >>> env.extend(retries=5)
        Environment(retries=5)
    """

    def __init__(self, **settings: Any) -> None:
        unknown = settings.keys() - SETTING_NAMES - _OWN
        if unknown:
            raise DefinitionError(
                f"tasks have no setting {min(unknown)!r}",
                place=f"Environment({min(unknown)})",
                expected=", ".join(sorted(SETTING_NAMES)),
            )
        self._settings = dict(settings)

    def __call__(self, function: Callable[..., Any] | None = None, **settings: Any) -> Any:
        """The same as :meth:`task`."""
        return self.task(function, **settings)

    def task(self, function: Callable[..., Any] | None = None, **settings: Any) -> Any:
        """``@task`` with the settings of this environment, and ``settings`` over them."""
        from flytepath.authoring.task import task

        decorate = task(**{**self._settings, **settings})
        return decorate if function is None else decorate(function)

    def dynamic(self, function: Callable[..., Any] | None = None, **settings: Any) -> Any:
        """``@dynamic`` with the settings of this environment, and ``settings`` over them."""
        from flytepath.authoring.dynamic import dynamic

        decorate = dynamic(**{**self._settings, **settings})
        return decorate if function is None else decorate(function)

    def extend(self, **settings: Any) -> Environment:
        """Another environment with ``settings`` over these."""
        return Environment(**{**self._settings, **settings})

    def update(self, **settings: Any) -> None:
        """Change these settings, for tasks that are defined from now on."""
        self._settings = Environment(**{**self._settings, **settings})._settings

    def show(self) -> None:
        """Print the settings."""
        import sys

        sys.stdout.write(f"{self!r}\n")

    def __repr__(self) -> str:
        return f"Environment({', '.join(f'{name}={value!r}' for name, value in self._settings.items())})"
