"""The plugin manager: what is installed and enabled, and who provides a task type, a Python type, a backend, a scheme.

Core's own declarations are asked first and cost nothing; the index is read when something else is asked for. Registries
belong to a manager, are built on first use and never change afterwards.
"""

from __future__ import annotations

import importlib
import threading
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from flytepath import __version__, config
from flytepath.errors import (
    PluginConflictError,
    PluginDeniedError,
    PluginError,
    PluginNotFoundError,
)
from flytepath.model.identity import Tenant
from flytepath.plugin.claims import Claim, Claimant, Conflict, claim_keys, from_plain
from flytepath.plugin.index import environment_listing, identity, read_index, write_index
from flytepath.plugin.policy import CORE, Policy, route_hint
from flytepath.plugin.records import DOCTOR, PluginRecord, record_of, refuse_imperfect, set_aside

Json = Any
DEFAULT_SECRETS: Final = "env"

__all__ = ["Claim", "Claimant", "Conflict", "PluginManager", "PluginRecord", "current", "set_current"]


class PluginManager:
    """Answers for one environment and one policy. Several can live in one process.

    Example:
        >>> manager = PluginManager(home=Path("/nonexistent"))  # reads nothing yet
        >>> manager.secret_provider("env").plugin
        'flytepath'
    """

    def __init__(self, *, policy: Policy | None = None, home: Path | None = None, strict: bool | None = None) -> None:
        """A manager that reads the index when it is first needed; :meth:`load` reads it at once."""
        self._given_policy = policy
        self._home = home or config.home()
        self._strict = strict
        self._refresh = False
        self._lock = threading.RLock()
        self._registries: dict[str, dict[str, Claim]] = {}
        self._answers: dict[tuple[Any, ...], Any] = {}

    @classmethod
    def load(
        cls,
        *,
        policy: Policy | None = None,
        home: Path | None = None,
        strict: bool | None = None,
        refresh: bool = False,
    ) -> PluginManager:
        """Read the index, or build it anew.

        Args:
            policy: takes the place of the configuration.
            home: takes the place of ``FLYTEPATH_HOME``.
            strict: takes the place of ``plugins.strict``.
            refresh: read every manifest again, whatever the index says.

        Raises:
            ConfigError: the policy is wrong, or one of its routes leads to nothing.
            PluginError: in strict mode, a plugin is quarantined, incompatible or in conflict.
        """
        manager = cls(policy=policy, home=home, strict=strict)
        manager._refresh = refresh
        _ = manager._index
        return manager

    # --- what there is -------------------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        """The policy this manager keeps."""
        return self._policy

    @cached_property
    def plugins(self) -> tuple[PluginRecord, ...]:
        """Core, and every installed plugin of any state, by name."""
        declared: dict[int, dict[str, list[Any]]] = {}
        for hook, items in self._index["claims"].items():
            for number, fields in items:
                declared.setdefault(number, {}).setdefault(hook, []).append(from_plain(hook, fields))
        records = [
            record_of(item, {hook: tuple(found) for hook, found in declared.get(number, {}).items()})
            for number, item in enumerate(self._index["plugins"])
        ]
        return (self._core_record(), *records)

    @cached_property
    def conflicts(self) -> tuple[Conflict, ...]:
        """What several plugins claim, decided or not."""
        return tuple(self._conflicts.values())

    def check_enabled(self, claim: Claim, tenant: Tenant | None) -> None:
        """Ask the policy of one project and domain.

        Raises:
            PluginDeniedError: it does not enable the plugin behind ``claim``.
        """
        if claim.plugin == CORE or self._policy.enabled(claim.plugin, tenant):
            return
        raise PluginDeniedError(
            f"plugin {claim.plugin!r} ({claim.distribution}) is not enabled for {tenant or 'everyone'}",
            place=self._policy.why(claim.plugin, tenant),
            hint="whoever keeps the policy can allow it for this project and domain",
        )

    def resolve(self, reference: str) -> Any:
        """Import what a declaration points to.

        Raises:
            PluginError: it is no ``module:attribute``, the module does not import, or it has no such attribute.
        """
        key = ("resolve", reference)
        if key not in self._answers:
            self._answers[key] = _resolve(reference)
        return self._answers[key]

    # --- who provides it -----------------------------------------------------------------------------------------

    def task_type(self, name: str) -> Claim:
        """The task type of a name. Raises ``PluginNotFoundError``, or what is wrong with who claims it."""
        return self._required("flytepath_task_types", f"task-type:{name}", f"task type {name!r}")

    def task_type_for(self, config_class: type[Any]) -> Claim:
        """The task type that a ``task_config`` class selects; a subclass belongs to its parent's.

        Raises:
            PluginNotFoundError: nobody knows it; the hint says what to install or enable.
            PluginQuarantinedError, PluginConflictError: who claims it is broken, or not alone.
        """
        key = ("config", config_class)
        if key not in self._answers:
            self._answers[key] = self._find_task_type(config_class)
        found: Claim = self._answers[key]
        return found

    def transformer_for(self, python_type: Any) -> Claim | None:
        """Who turns a type into literals: by its own name, by a base's, by its origin; ``None`` if nobody does."""
        key = ("transformer", python_type)
        if key not in self._answers:
            self._answers[key] = self._find_transformer(python_type)
        found: Claim | None = self._answers[key]
        return found

    def dataframe_codec(self, frame: type[Any] | str, scheme: str, format: str) -> Claim:
        """Who writes and reads frames of a type to a scheme in a format."""
        name = frame if isinstance(frame, str) else _qualified(frame)
        what = f"{name} in format {format!r} at {scheme!r}"
        return self._required("flytepath_dataframe_codecs", f"dataframe-codec:{name},{scheme},{format}", what)

    def dataframe_claims(self, field: str, of: Collection[str] = ()) -> frozenset[str]:
        """The ``frame_type``, ``scheme`` or ``format`` of every codec; with ``of``, of those for these frame types."""
        claims = (item for _, item in self._index["claims"].get("flytepath_dataframe_codecs", ()))
        return frozenset(item.get(field, "") for item in claims if not of or item.get("frame_type", "") in of)

    def boundary_check_for(self, marker_class: type[Any]) -> Claim | None:
        """The check that a marker in ``Annotated`` asks for; ``None`` where it is nobody's marker."""
        return self._along_mro("flytepath_boundary_checks", "boundary-check", marker_class)

    def deck_renderer_for(self, python_type: type[Any]) -> Claim | None:
        """Who shows values of a type in a deck."""
        return self._along_mro("flytepath_deck_renderers", "deck-renderer", python_type)

    def backend(self, name: str) -> Claim:
        """The backend of a name."""
        return self._required("flytepath_backends", f"backend:{name}", f"backend {name!r}")

    def renderer(self, task_type: str, backend: str) -> Claim:
        """How a task type becomes a job of a backend. Raises ``PluginNotFoundError`` where nothing says so."""
        what = f"renderer of task type {task_type!r} for backend {backend!r}"
        return self._required("flytepath_renderers", f"renderer:{task_type}/{backend}", what)

    def secret_provider(self, scheme: str) -> Claim:
        """Where secrets of a scheme come from; the empty one is the environment."""
        name = scheme or DEFAULT_SECRETS
        return self._required("flytepath_secret_providers", f"secret-provider:{name}", f"secret provider {name!r}")

    def blob_store(self, scheme: str) -> Claim:
        """Where blobs of a URI scheme are kept."""
        return self._required("flytepath_blob_stores", f"blob-store:{scheme}", f"blob store for {scheme!r}")

    # --- what applies --------------------------------------------------------------------------------------------

    def task_wrappers(self, task_type: str, backend: str, tenant: Tenant | None) -> tuple[Claim, ...]:
        """The wrappers around a task's call, outermost first, of plugins that are enabled for ``tenant``."""
        return self._applying("flytepath_task_wrappers", task_type, backend, tenant)

    def resource_policies(self, task_type: str, backend: str, tenant: Tenant | None) -> tuple[Claim, ...]:
        """The functions that may change a resource request, in their order."""
        return self._applying("flytepath_resource_policies", task_type, backend, tenant)

    def backends(self) -> tuple[Claim, ...]:
        """All backends; those that two plugins claim are left out until a route decides."""
        return self._all("flytepath_backends")

    def event_sinks(self) -> tuple[Claim, ...]:
        """All listeners to events."""
        return self._all("flytepath_event_sinks")

    def cli_commands(self) -> tuple[Claim, ...]:
        """All sub-commands; those that two plugins claim are left out until a route decides."""
        return self._all("flytepath_cli_commands")

    def command_help(self) -> dict[str, str]:
        """The plugins' commands by name, with the line that ``--help`` shows; no declaration is made for it."""
        lines: dict[str, str] = {}
        for number, fields in self._index["claims"].get("flytepath_cli_commands", ()):
            conflict = self._conflicts.get(f"cli-command:{fields['name']}")
            if conflict is None or conflict.winner == self._claimant(number).distribution:
                lines[fields["name"]] = fields.get("help", "")
        return lines

    def migrations(self) -> tuple[Claim, ...]:
        """All rows of the flytekit migration table."""
        return self._all("flytepath_migrations")

    # --- the index -----------------------------------------------------------------------------------------------

    @cached_property
    def _index(self) -> Json:
        with self._lock:
            if "_index" in self.__dict__:
                return self.__dict__["_index"]
            listing = environment_listing()
            whose = identity(listing, self._given_policy, self._home)
            body = None if self._refresh else read_index(self._home, whose, listing)
            if body is None:
                from flytepath.plugin.building import build_index

                body = build_index(self._given_policy or Policy.load(home=self._home), self._home)
                write_index(self._home, whose, body)
            if body["policy"]["strict"] if self._strict is None else self._strict:
                refuse_imperfect(body)
            return body

    @cached_property
    def _policy(self) -> Policy:
        return self._given_policy or Policy.from_json(self._index["policy"])

    @cached_property
    def _conflicts(self) -> Mapping[str, Conflict]:
        found = {}
        for key, numbers, decided_by, winner in self._index["conflicts"]:
            claimants = sorted((self._claimant(number) for number in numbers), key=lambda item: item.distribution)
            chosen = "" if winner is None else self._claimant(winner).distribution
            found[key] = Conflict(key, tuple(claimants), decided_by, chosen)
        return MappingProxyType(found)

    def _claimant(self, number: int) -> Claimant:
        if number < 0:
            return Claimant(CORE, CORE, __version__)
        item = self._index["plugins"][number]
        return Claimant(item["name"], item["distribution"], item["version"])

    def _core_record(self) -> PluginRecord:
        from flytepath.plugin.contract import CONTRACT_MAJOR, CONTRACT_MINOR

        declared = {hook: tuple(items) for hook, items in _core().items()}
        contract = f"{CONTRACT_MAJOR}.{CONTRACT_MINOR}"
        module = "flytepath.plugin.builtin"
        return PluginRecord(CORE, CORE, __version__, module, "enabled", contract=contract, declarations=declared)

    # --- registries ----------------------------------------------------------------------------------------------

    def _core_registry(self, hook: str) -> dict[str, Claim]:
        name = f"core {hook}"
        if name not in self._registries:
            claims = (Claim(item, CORE, CORE, __version__) for item in _core().get(hook, ()))
            self._registries[name] = _keyed(hook, claims, {})
        return self._registries[name]

    def _registry(self, hook: str) -> dict[str, Claim]:
        """The plugins' claims of a hook by key, without what core has and what is undecided."""
        if hook not in self._registries:
            with self._lock:
                self._registries[hook] = _keyed(hook, self._winning(hook), self._conflicts)
        return self._registries[hook]

    def _winning(self, hook: str) -> Iterator[Claim]:
        for number, fields in self._index["claims"].get(hook, ()):
            claimant = self._claimant(number)
            lost = {
                key
                for key in claim_keys(hook, fields)
                if key in self._conflicts and self._conflicts[key].winner != claimant.distribution
            }
            if lost and len(lost) == len(claim_keys(hook, fields)):
                continue
            claim = Claim(from_plain(hook, fields), claimant.plugin, claimant.distribution, claimant.version)
            yield claim

    def _lookup(self, hook: str, key: str) -> Claim | None:
        """Who provides ``key``; ``None`` if nobody claims it. Raises what is wrong with who does."""
        own = self._core_registry(hook).get(key)
        if own is not None:
            return own
        conflict = self._conflicts.get(key)
        if conflict is not None and conflict.decided_by is None:
            both = " and ".join(str(claimant) for claimant in conflict.claimants)
            raise PluginConflictError(
                f"{both} both claim {key!r}",
                place=key,
                expected="one provider",
                hint=route_hint(key, conflict.claimants[0].distribution),
            )
        found = self._registry(hook).get(key)
        if found is not None:
            return found
        broken = self._index["broken"].get(key)
        if broken is not None:
            raise set_aside(self._index["plugins"][broken], key)
        return None

    def _required(self, hook: str, key: str, what: str) -> Claim:
        found = self._lookup(hook, key)
        if found is not None:
            return found
        kind, _, name = key.partition(":")
        known = [item.partition(":")[2] for item in (*self._core_registry(hook), *self._registry(hook))]
        known = sorted({item for item, full in ((k, f"{kind}:{k}") for k in known) if self._knows(hook, full)})
        import difflib

        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "install or enable the plugin that provides it"
        raise PluginNotFoundError(
            f"no enabled plugin provides the {what}",
            expected=f"one of {', '.join(known)}" if known else None,
            actual=name,
            hint=hint + self._set_aside(),
        )

    def _knows(self, hook: str, key: str) -> bool:
        return key in self._core_registry(hook) or key in self._registry(hook)

    def _set_aside(self) -> str:
        """The plugins that might have provided it, for a hint."""
        names = [item["name"] for item in self._index["plugins"] if item["state"] in ("quarantined", "incompatible")]
        return f"; set aside: {', '.join(names)} ({DOCTOR})" if names else ""

    def _along_mro(self, hook: str, kind: str, python_type: type[Any]) -> Claim | None:
        key = (hook, python_type)
        if key not in self._answers:
            found = (self._lookup(hook, f"{kind}:{_qualified(base)}") for base in python_type.__mro__)
            self._answers[key] = next((claim for claim in found if claim is not None), None)
        claim: Claim | None = self._answers[key]
        return claim

    def _all(self, hook: str) -> tuple[Claim, ...]:
        if (hook,) not in self._answers:
            undecided = {key for key, conflict in self._conflicts.items() if conflict.decided_by is None}
            core = [Claim(item, CORE, CORE, __version__) for item in _core().get(hook, ())]
            claims = [*core, *self._winning(hook)]
            self._answers[(hook,)] = tuple(
                claim for claim in claims if not undecided & set(_keys_of(hook, claim.declaration))
            )
        found: tuple[Claim, ...] = self._answers[(hook,)]
        return found

    def _applying(self, hook: str, task_type: str, backend: str, tenant: Tenant | None) -> tuple[Claim, ...]:
        key = (hook, task_type, backend, tenant)
        if key not in self._answers:
            fitting = [
                claim
                for claim in self._all(hook)
                if _applies(claim.declaration.applies_to, task_type, backend, tenant)
                and self._policy.enabled(claim.plugin, tenant)
            ]
            fitting.sort(key=lambda claim: (claim.declaration.order, claim.declaration.name, claim.distribution))
            self._answers[key] = tuple(fitting)
        found: tuple[Claim, ...] = self._answers[key]
        return found

    # --- by Python type ------------------------------------------------------------------------------------------

    def _find_task_type(self, config_class: type[Any]) -> Claim:
        hook = "flytepath_task_types"
        for base in config_class.__mro__[:-1]:
            found = self._lookup(hook, f"config:{_qualified(base)}") or self._under_another_name(base)
            if found is not None:
                return found
        module = config_class.__module__
        package = module.partition(".")[0]
        for item in self._index["plugins"]:
            if item["module"].partition(".")[0] != package:
                continue
            if item["state"] == "denied":
                raise PluginNotFoundError(
                    f"no enabled plugin knows the configuration {_qualified(config_class)}",
                    place=f"{item['distribution']} {item['version']}: {item['cause']}",
                    hint=item["hint"],
                )
            if item["state"] != "enabled":
                raise set_aside(item, _qualified(config_class))
        install = f"pip install {package.replace('_', '-')}" if package.startswith("flyte_plugin_") else ""
        raise PluginNotFoundError(
            f"no enabled plugin knows the configuration {_qualified(config_class)}",
            expected="a task_config whose class, or a base of it, is declared by an enabled plugin",
            hint=(install or "install or enable the plugin that brings this class") + self._set_aside(),
        )

    def _under_another_name(self, config_class: type[Any]) -> Claim | None:
        """A declaration may name the class where its package offers it, not where it is defined."""
        import sys

        for key, claim in self._registry("flytepath_task_types").items():
            module, _, attribute = claim.declaration.config.partition(":")
            if key.startswith("config:") and getattr(sys.modules.get(module), attribute, None) is config_class:
                return claim
        return None

    def _find_transformer(self, python_type: Any) -> Claim | None:
        origin = typing.get_origin(python_type)
        if origin is not None:
            return self._transformer("origin", _qualified(origin)) if isinstance(origin, type) else None
        if not isinstance(python_type, type):
            return None
        found = self._transformer("exact", _qualified(python_type))
        for base in python_type.__mro__ if found is None else ():
            found = self._transformer("subclass", _qualified(base))
            if found is not None:
                break
        return found or self._transformer("origin", _qualified(python_type))

    def _transformer(self, match: str, name: str) -> Claim | None:
        hook = "flytepath_transformers"
        own = self._core_registry(hook).get(f"{match} python-type:{name}")
        if own is not None:
            return own
        self._lookup(hook, f"python-type:{name}")
        return self._registry(hook).get(f"{match} python-type:{name}")


_current: PluginManager | None = None
_current_lock = threading.Lock()


def current() -> PluginManager:
    """This process's own manager, made on first use from its configuration; it reads the index when it needs it."""
    global _current
    if _current is None:
        with _current_lock:
            if _current is None:
                _current = PluginManager()
    return _current


def set_current(manager: PluginManager | None) -> PluginManager | None:
    """Put another manager in the place of this process's own; ``None`` makes a new one on next use.

    Returns:
        The one that was there.
    """
    global _current
    with _current_lock:
        previous, _current = _current, manager
    return previous


_core_declarations: dict[str, list[Any]] = {}


def _core() -> dict[str, list[Any]]:
    """What core declares, by hook. Needs no index."""
    if not _core_declarations:
        from flytepath.plugin import builtin

        for name, hook in vars(builtin).items():
            if name.startswith(f"{CORE}_"):
                _core_declarations[name] = hook()
    return _core_declarations


def _qualified(t: type[Any]) -> str:
    return f"{t.__module__}.{t.__qualname__}"


def _keys_of(hook: str, declaration: Any) -> tuple[str, ...]:
    fields = {name: getattr(declaration, name) for name in declaration.__dataclass_fields__}
    return claim_keys(hook, fields)


def _keyed(hook: str, claims: Iterable[Claim], conflicts: Mapping[str, Conflict]) -> dict[str, Claim]:
    """Claims by key; transformers also by match and key, as one plugin may match a type in several ways.

    Of two claimants the winner has the key; nobody has one that is undecided.
    """
    found: dict[str, Claim] = {}
    for claim in claims:
        for key in _keys_of(hook, claim.declaration):
            if key in conflicts and conflicts[key].winner != claim.distribution:
                continue
            found.setdefault(key, claim)
            if hook == "flytepath_transformers":
                found.setdefault(f"{claim.declaration.match} {key}", claim)
    return found


def _applies(rule: Any, task_type: str, backend: str, tenant: Tenant | None) -> bool:
    def fits(patterns: tuple[str, ...], name: str | None) -> bool:
        return not patterns or (name is not None and any(fnmatchcase(name, pattern) for pattern in patterns))

    return (
        fits(rule.task_types, task_type)
        and fits(rule.backends, backend)
        and fits(rule.projects, tenant.project if tenant else None)
        and fits(rule.domains, tenant.domain if tenant else None)
    )


def _resolve(reference: str) -> Any:
    module, separator, attribute = reference.partition(":")
    if not (separator and module and attribute):
        raise PluginError(
            f"{reference!r} is not a reference", expected="module:attribute", hint="the plugin's manifest is wrong"
        )
    try:
        target: Any = importlib.import_module(module)
        for part in attribute.split("."):
            target = getattr(target, part)
    except ModuleNotFoundError as error:
        hint = f"install what provides {error.name!r}"
        raise PluginError(f"{reference} cannot be imported: {error}", place=reference, hint=hint) from error
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{reference} cannot be imported: {type(error).__name__}: {error}", place=reference, hint=DOCTOR
        ) from error
    return target
