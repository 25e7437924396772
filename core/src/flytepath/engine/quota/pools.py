"""Which pools there are, how much of each, and for whom: what configuration and backends say of them.

A table ``[pools."<name>"]`` speaks for the pool of that name, or of every name that its ``*`` and ``?`` match. What it
leaves open, a table with a less precise name may say, and then the backend that declares the pool.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from flytepath import config
from flytepath.config import ConfigFile
from flytepath.config.settings import Configuration, load_configuration
from flytepath.engine.quota.rules import PoolRule
from flytepath.errors import ConfigError, NotFoundError
from flytepath.model.identity import Tenant
from flytepath.model.task import TaskSpec
from flytepath.plugin.declarations import PoolDeclaration
from flytepath.plugin.plans import PoolAsk

log = logging.getLogger("flytepath")

#: How often, at the most, configuration files are looked at for changes.
LOOK_SECONDS: Final = 1.0
_FIELD: Final = re.compile(r"\{[^{}]*\}")


class PoolUnknownError(NotFoundError):
    """A task asks for tokens of a pool that neither configuration nor a backend declares."""

    code = "FP-POOL-UNKNOWN"
    exit_status = 2


@dataclass(frozen=True, slots=True)
class DeclaredPool:
    """A pool that a backend brings."""

    backend: str
    plugin: str
    name: str
    limit: int

    def matches(self, pool: str) -> bool:
        """Whether ``pool`` is this one, with any settings in the place of its fields.

        Example:
            >>> DeclaredPool("snowflake", "snowflake", "snowflake/{account}", 8).matches("snowflake/acme")
            True
        """
        return _pattern(self.name).fullmatch(pool) is not None


@dataclass(frozen=True, slots=True)
class PoolOrigin:
    """Where a pool was declared, for people: its limit, and each key with the place that says it."""

    limit: str
    keys: Mapping[str, str]


class PoolRules:
    """The rules of all pools.

    Args:
        configuration: what files say.
        declared: what backends bring.
        reload: reads the configuration again where it has changed, else ``None``; it is asked at most once a second.

    Example:
        >>> rules = PoolRules.of_values({"db": {"limit": 2, "applies_to": {"tasks": ["etl.*"]}}})
        >>> rules.find("db").limit, rules.find("other")
        (2, None)
    """

    def __init__(
        self,
        configuration: Configuration,
        declared: Iterable[DeclaredPool] = (),
        *,
        reload: Callable[[], Configuration | None] | None = None,
    ) -> None:
        self._declared = tuple(declared)
        self._reload = reload
        self._looked = time.monotonic()
        self._tables = _Tables(configuration, self._declared)
        #: How often the rules have changed.
        self.revision = 0

    @classmethod
    def of_values(cls, pools: Mapping[str, Any], declared: Iterable[DeclaredPool] = ()) -> PoolRules:
        """Rules that stay as they are, from what would stand below ``[pools]`` in a file."""
        return cls(Configuration({"pools": dict(pools)}, {}), declared)

    @classmethod
    def here(cls, start: Path | None = None, home: Path | None = None) -> PoolRules:
        """Rules as the files say that speak for a folder, and as enabled backends declare; read again when they change.

        Raises:
            ConfigError: a configuration file is wrong.
        """
        files = _Files(start or Path.cwd(), home)
        return cls(files.read(), declared_pools(), reload=files.changed)

    def refresh(self) -> bool:
        """Read the configuration again where a file has changed; whether the rules are others now.

        A file that is wrong in this moment, because it is being written say, changes nothing.
        """
        if self._reload is None or time.monotonic() - self._looked < LOOK_SECONDS:
            return False
        self._looked = time.monotonic()
        try:
            found = self._reload()
            tables = None if found is None else _Tables(found, self._declared)
        except ConfigError as error:
            log.warning("pools stay as they were, the configuration cannot be used: %s", error)
            return False
        if tables is None or tables.is_like(self._tables):
            return False
        self._tables = tables
        self.revision += 1
        return True

    def find(self, pool: str) -> PoolRule | None:
        """The rule of a pool; ``None`` where nobody declared it."""
        return self._tables.find(pool)

    def rule(self, pool: str) -> PoolRule:
        """The rule of a pool.

        Raises:
            PoolUnknownError: nobody declared it.
        """
        found = self.find(pool)
        if found is None and self.refresh():
            found = self.find(pool)
        if found is not None:
            return found
        known = self.names
        raise PoolUnknownError(
            f"nobody declares a pool {pool!r}",
            place=f"pools.{pool}",
            expected=f"one of {', '.join(known)}" if known else "there are no pools",
            actual=pool,
            hint=f'add to flytepath.toml: [pools."{pool}"] limit = <how many at once>',
        )

    @property
    def names(self) -> list[str]:
        """Pools that are declared, sorted; those whose name is a pattern as they are written."""
        return sorted({*self._tables.tables, *(pool.name for pool in self._declared)})

    def origin(self, pool: str) -> PoolOrigin:
        """Where it is said how much there is of a pool, and for whom."""
        return self._tables.origin(pool)

    def asks_for(self, task: TaskSpec, tenant: Tenant, planned: Iterable[PoolAsk] = ()) -> tuple[PoolAsk, ...]:
        """The tokens that a job needs: what its plan, its task and the configuration say; of each pool the most.

        Args:
            task: with what its node overrides.
            tenant: whose it is.
            planned: what the backend's plan asks for.

        Raises:
            PoolUnknownError: nobody declared a pool.
            PoolAskError: more is asked for than there will ever be for the tenant.
        """
        asks: dict[str, int] = {}
        for pool, tokens in (
            *task.pools.items(),
            *((ask.pool, ask.tokens) for ask in planned),
            *self._tables.uses(task),
        ):
            asks[pool] = max(tokens, asks.get(pool, tokens))
        found = tuple(PoolAsk(pool, asks[pool]) for pool in sorted(asks))
        self.check(tenant, found)
        return found

    def check(self, tenant: Tenant, asks: Iterable[PoolAsk]) -> None:
        """Raise where a pool is not declared, or more is asked for than the tenant can ever be given."""
        for ask in asks:
            self.rule(ask.pool).check(tenant, ask.tokens)


def declared_pools() -> tuple[DeclaredPool, ...]:
    """The pools that enabled backends bring."""
    from flytepath.plugin.manager import current

    found: list[DeclaredPool] = []
    for claim in current().backends():
        pools: Iterable[PoolDeclaration] = claim.declaration.pools
        found += [DeclaredPool(claim.declaration.name, claim.plugin, pool.name, pool.limit) for pool in pools]
    return tuple(found)


class _Files:
    """The configuration of a folder, and whether it has changed since it was read."""

    def __init__(self, start: Path, home: Path | None) -> None:
        self._start = start
        self._home = home
        self._read: tuple[ConfigFile, ...] | None = None

    def read(self) -> Configuration:
        """All of it."""
        self._read = config.candidate_files(self._start, self._home)
        return load_configuration(self._start, self._home)

    def changed(self) -> Configuration | None:
        """All of it, if it says anything else than when it was last read."""
        return None if config.candidate_files(self._start, self._home) == self._read else self.read()


class _Tables:
    """The tables of one reading of the configuration, which never change."""

    def __init__(self, configuration: Configuration, declared: tuple[DeclaredPool, ...]) -> None:
        self.tables: Mapping[str, Mapping[str, Any]] = configuration.get("pools", default={})
        self._configuration = configuration
        self._declared = declared
        self._rules: dict[str, PoolRule | None] = {}
        for name, table in self.tables.items():
            if "applies_to" in table and _is_pattern(name):
                raise ConfigError(
                    "tasks can only ask for a pool with a full name",
                    place=configuration.place("pools", name, "limit"),
                    expected="a name without * and ?",
                    actual=name,
                    hint="give each pool that tasks ask for a table of its own",
                )
            if not _is_pattern(name):
                self._check_limit(name)

    def _check_limit(self, name: str) -> None:
        if self.find(name) is None:
            raise ConfigError(
                f"pool {name!r} has no limit",
                place=f"pools.{name}",
                expected="a limit, here or in what a backend declares",
                hint=f'add to its table: [pools."{name}"] limit = <how many at once>',
            )

    def is_like(self, other: _Tables) -> bool:
        """Whether both say the same."""
        return self.tables == other.tables

    def find(self, pool: str) -> PoolRule | None:
        """The rule of a pool."""
        if pool not in self._rules:
            limit = self._said(pool, "limit")
            if limit is None:
                limit = next((found.limit for found in self._declaring(pool)), None)
            weights, caps = self._said(pool, "weights") or {}, self._said(pool, "caps") or {}
            self._rules[pool] = None if limit is None else PoolRule(pool, limit, dict(weights), dict(caps))
        return self._rules[pool]

    def origin(self, pool: str) -> PoolOrigin:
        """Where its limit, weights and caps are said."""
        keys: dict[str, str] = {}
        for key in ("limit", "weights", "caps"):
            for name in self._speaking_for(pool):
                said = self.tables[name].get(key)
                if isinstance(said, Mapping):
                    keys.update((f"{key}.{who}", self._configuration.place("pools", name, key, who)) for who in said)
                elif said is not None:
                    keys[key] = self._configuration.place("pools", name, key)
                if said is not None:
                    break
        brought = next((f"backend {found.backend} of plugin {found.plugin}" for found in self._declaring(pool)), "")
        return PoolOrigin(keys.get("limit", brought), keys)

    def uses(self, task: TaskSpec) -> list[tuple[str, int]]:
        """The pools that a task has to use because configuration says so."""
        return [
            (name, table.get("tokens", 1))
            for name, table in self.tables.items()
            if "applies_to" in table and _applies(table["applies_to"], task)
        ]

    def _said(self, pool: str, key: str) -> Any:
        return next((self.tables[name][key] for name in self._speaking_for(pool) if key in self.tables[name]), None)

    def _speaking_for(self, pool: str) -> list[str]:
        """Names of tables, the most precise first: the name itself, then patterns by what they spell out."""
        named = [name for name in self.tables if _is_pattern(name) and fnmatchcase(pool, name)]
        named.sort(key=lambda name: (-len(name.replace("*", "").replace("?", "")), name))
        return [pool, *named] if pool in self.tables and not _is_pattern(pool) else named

    def _declaring(self, pool: str) -> list[DeclaredPool]:
        return [found for found in self._declared if found.matches(pool)]


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


def _applies(rule: Mapping[str, Iterable[str]], task: TaskSpec) -> bool:
    def fits(key: str, name: str) -> bool:
        patterns = list(rule.get(key, ()))
        return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)

    return fits("task_types", task.task_type) and fits("backends", task.backend) and fits("tasks", task.name)


@lru_cache(maxsize=256)
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".+".join(re.escape(part) for part in _FIELD.split(name)))
