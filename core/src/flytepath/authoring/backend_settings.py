"""``current_context().backend_settings``: the settings of a service, for the code of a plugin inside a running task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flytepath.model.identity import Tenant


def backend_settings(name: str, tenant: Tenant | None) -> Any:
    """The settings of a backend, as its plugin's model of them.

    Args:
        name: of the backend.
        tenant: whose; the default project and domain in a direct call.

    Raises:
        PluginNotFoundError, PluginDeniedError: no plugin provides the backend, or not for this tenant.
        ConfigError: they are wrong.

    Example:
        .. code-block:: python

            settings = backend_settings("snowflake", Tenant("sales", "production"))
    """
    from flytepath.config.settings import load_configuration
    from flytepath.engine.jobs.backends import checked, keys_over, settings_of
    from flytepath.model.identity import Tenant as AnyTenant
    from flytepath.plugin.manager import current

    manager = current()
    claim = manager.backend(name)
    whose = tenant or AnyTenant()
    manager.check_enabled(claim, whose)
    declaration: Any = claim.declaration
    lay_over = manager.resolve(declaration.settings_merge) if declaration.settings_merge else keys_over
    values, _ = settings_of(load_configuration(), name, whose, declaration.settings_base, lay_over)
    return checked(manager, declaration, values)
