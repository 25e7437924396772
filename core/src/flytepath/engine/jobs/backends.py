"""The backends that remote jobs run on: one instance per plugin and settings, made when a job first needs it."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from flytepath.config.settings import Configuration, load_configuration
from flytepath.engine.secrets.redaction import Redactor
from flytepath.errors import ConfigError, FlytePathError, PluginError, PluginNotFoundError
from flytepath.model.identity import Tenant
from flytepath.model.literal import canonical_text, sha256
from flytepath.plugin.backend import Backend, SecretResolver
from flytepath.plugin.declarations import BackendDeclaration
from flytepath.plugin.plans import Plan as JobPlan
from flytepath.plugin.plans import PlanRequest
from flytepath.plugin.secrets import SecretReference

log = logging.getLogger("flytepath")

#: Where tasks run that are no remote jobs.
LOCAL: Final = "local"


class BackendUnavailableError(PluginError):
    """The backend of a job cannot be used: its plugin is missing, quarantined or denied, or its settings are wrong."""

    code = "FP-BACKEND-MISSING"


@dataclass(frozen=True, slots=True, eq=False)
class BackendInstance:
    """A backend with one set of settings.

    Attributes:
        name: of the backend.
        declaration: what its plugin says of it.
        backend: makes the vendor's calls.
        plugin: the plugin it comes from, for errors.
        settings: names the settings it was made with, by content.
        render: turns a request into a plan, purely.
        redactor: knows the secrets that the backend was given, so that they can be kept out of what it tells.
    """

    name: str
    declaration: BackendDeclaration
    backend: Backend
    plugin: str
    settings: str
    render: Callable[[PlanRequest], JobPlan]
    redactor: Redactor = field(default_factory=Redactor)


class BackendSource(Protocol):
    """Whoever has backends."""

    async def get(self, name: str, tenant: Tenant, task_type: str = "") -> BackendInstance:
        """The backend of a name, with the settings of a tenant.

        Raises:
            BackendUnavailableError: it cannot be used now, and why.
        """

    async def known(self) -> list[BackendInstance]:
        """Every backend that configuration names or a job has asked for, as far as they can be used."""

    async def close(self) -> None:
        """Let go of all of them."""


class Backends:
    """The backends of installed plugins, with settings from the configuration.

    The table ``[backends.<name>]`` holds the settings; those of ``[projects.<p>.backends.<name>]`` and of its domains
    are laid over it.

    Args:
        secrets: looks secrets up.
        configuration: read again for every backend that is made.
    """

    def __init__(
        self,
        secrets: SecretResolver,
        configuration: Callable[[], Configuration] = load_configuration,
    ) -> None:
        self._secrets = secrets
        self._configuration = configuration
        self._instances: dict[tuple[str, str], BackendInstance] = {}
        self._found: dict[tuple[str, Tenant, str], BackendInstance] = {}
        self._lock = asyncio.Lock()

    async def get(self, name: str, tenant: Tenant, task_type: str = "") -> BackendInstance:
        """The backend of a name, with the settings of a tenant.

        Raises:
            BackendUnavailableError: it cannot be used now, and why.
        """
        known = self._found.get((name, tenant, task_type))
        if known is not None:
            return known
        async with self._lock:
            known = self._found.get((name, tenant, task_type))
            if known is not None:  # thousands of jobs may ask when an execution is taken over
                return known
            made = await asyncio.to_thread(self._made, name, tenant, task_type)
            self._found[name, tenant, task_type] = made
        return made

    def _made(self, name: str, tenant: Tenant, task_type: str) -> BackendInstance:
        try:
            manager, claim = _claim(name)
            manager.check_enabled(claim, tenant)
            declaration: BackendDeclaration = claim.declaration
            lay_over = manager.resolve(declaration.settings_merge) if declaration.settings_merge else keys_over
            values, whose = settings_of(self._configuration(), name, tenant, declaration.settings_base, lay_over)
            told = canonical_text([values, whose.project, whose.domain])
            digest = sha256(told.encode())[7:23] if values else ""
            known = self._instances.get((name, digest))
            redactor = known.redactor if known is not None else Redactor()
            backend = known.backend if known is not None else _new(manager, declaration, values, digest)
            if known is None:
                backend.bind(_noting(self._secrets, redactor), whose)
            render: Callable[[PlanRequest], JobPlan] = backend.plan
            with suppress(PluginNotFoundError):  # then the backend reads the payload of its own task types
                renderer = manager.renderer(task_type, name).declaration.renderer
                render = _rendering(manager.resolve(renderer)(), values)
        except FlytePathError as error:
            raise BackendUnavailableError(
                f"backend {name!r} cannot be used: {error.message}",
                place=error.place or str(tenant),
                expected=error.expected,
                actual=error.actual,
                hint=error.hint or "jobs that need it wait, and go on when it can be used again",
            ) from error
        except Exception as error:
            raise BackendUnavailableError(
                f"backend {name!r} cannot be made: {type(error).__name__}: {error}",
                place=str(tenant),
                hint="`flytepath plugins doctor` tells more of a plugin that is broken",
            ) from error
        made = BackendInstance(
            name, declaration, backend, f"{claim.plugin} ({claim.distribution})", digest, render, redactor
        )
        self._instances.setdefault((name, digest), made)
        return made

    async def known(self) -> list[BackendInstance]:
        """Every backend that configuration names or a job has asked for, as far as they can be used."""
        configuration = await asyncio.to_thread(self._configuration)
        for name, tenant in _configured(configuration):
            try:
                await self.get(name, tenant)
            except BackendUnavailableError as error:
                log.debug("%s", error)
        return list(self._instances.values())

    async def close(self) -> None:
        """Let go of all of them."""
        instances = list(self._instances.values())
        self._instances.clear()
        self._found.clear()
        for instance in instances:
            try:
                async with asyncio.timeout(instance.declaration.call_seconds):
                    await instance.backend.close()
            except Exception as error:  # noqa: BLE001 - a plugin's failure to let go harms nothing of ours
                log.warning("backend %s did not let go: %s", instance.name, error)


class GivenBackends:
    """Backends that somebody has made already: for direct calls and for tests of plugins."""

    def __init__(self, *instances: BackendInstance) -> None:
        self._instances = {instance.name: instance for instance in instances}

    async def get(self, name: str, tenant: Tenant, task_type: str = "") -> BackendInstance:
        """The one of that name."""
        if name not in self._instances:
            raise BackendUnavailableError(f"backend {name!r} is not there", place=str(tenant))
        return self._instances[name]

    async def known(self) -> list[BackendInstance]:
        """All of them."""
        return list(self._instances.values())

    async def close(self) -> None:
        """They are the giver's."""


def _claim(name: str) -> tuple[Any, Any]:
    """Who provides a backend; a plugin that was installed since this process began is found too."""
    from flytepath.plugin.manager import PluginManager, current, set_current

    manager = current()
    try:
        return manager, manager.backend(name)
    except PluginNotFoundError:
        importlib.invalidate_caches()
        fresh = PluginManager.load()
        claim = fresh.backend(name)
        set_current(fresh)
        return fresh, claim


#: Lays the settings of one level over those of the level below.
LayOver = Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]


def keys_over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> Mapping[str, Any]:
    """The upper settings, and the lower ones where those say nothing."""
    return {**lower, **upper}


def settings_of(
    configuration: Configuration, name: str, tenant: Tenant, base: str = "", lay_over: LayOver = keys_over
) -> tuple[dict[str, Any], Tenant]:
    """The settings of a backend for a tenant, everybody's, then the project's, then the domain's; and whose they are.

    They are of the tenant whose own table says the last of it; of everybody, the default tenant, where only the base
    does.

    Args:
        configuration: what is configured.
        name: of the backend.
        tenant: for whom.
        base: another backend, whose settings at all levels lie under these.
        lay_over: lays one level over the one below.
    """
    found: Mapping[str, Any] = {}
    whose = Tenant()
    project = ("projects", tenant.project)
    levels = ((Tenant(), ()), (Tenant(tenant.project), project), (tenant, (*project, "domains", tenant.domain)))
    for table in filter(None, (base, name)):
        for level, key in levels:
            more = configuration.get(*key, "backends", table, default={}) or {}
            if more:
                found = lay_over(found, more)
                whose = max(whose, level, key=[each for each, _ in levels].index)
    return dict(found), whose


def _new(manager: Any, declaration: BackendDeclaration, values: Mapping[str, Any], digest: str) -> Backend:
    settings = checked(manager, declaration, values)
    backend: Backend = manager.resolve(declaration.backend)(settings, credential_scope=digest)
    return backend


def _noting(secrets: SecretResolver, redactor: Redactor) -> SecretResolver:
    """Look secrets up, and note their values, so that whatever the backend tells is told without them."""

    def resolve(reference: SecretReference, tenant: Tenant) -> bytes:
        value = secrets(reference, tenant)
        redactor.add(reference.label, value)
        return value

    return resolve


def _configured(configuration: Configuration) -> list[tuple[str, Tenant]]:
    found: dict[tuple[str, Tenant], None] = {(name, Tenant()): None for name in configuration.get("backends") or {}}
    for project, rules in (configuration.get("projects") or {}).items():
        for name in rules.get("backends") or {}:
            found[name, Tenant(project)] = None
        for domain, more in (rules.get("domains") or {}).items():
            for name in more.get("backends") or {}:
                found[name, Tenant(project, domain)] = None
    return list(found)


def checked(manager: Any, declaration: BackendDeclaration, values: Mapping[str, Any]) -> Any:
    """Settings as the model that the plugin has for them.

    Raises:
        ConfigError: they are wrong.
    """
    if not declaration.settings:
        if values:
            raise ConfigError(
                f"backend {declaration.name} takes no settings",
                place=f"backends.{declaration.name}",
                actual=", ".join(values),
            )
        return None
    try:
        return manager.resolve(declaration.settings)(**values)
    except (TypeError, ValueError) as error:  # pydantic's is a ValueError
        findings = getattr(error, "errors", None)
        first = findings(include_url=False)[0] if callable(findings) else None
        what = ".".join(str(part) for part in first["loc"]) if first else ""
        raise ConfigError(
            f"the settings of backend {declaration.name} are wrong: "
            + (f"{what + ': ' if what else ''}{first['msg']}" if first else str(error)),
            place=f"backends.{declaration.name}" + (f".{what}" if what else ""),
            hint=f"the plugin of {declaration.name} says which settings there are",
        ) from None


def _rendering(renderer: Any, values: Mapping[str, Any]) -> Callable[[PlanRequest], JobPlan]:
    from flytepath.plugin.extensions import RenderRequest

    def render(request: PlanRequest) -> JobPlan:
        plan: JobPlan = renderer.render(RenderRequest(request, values))
        return plan

    return render
