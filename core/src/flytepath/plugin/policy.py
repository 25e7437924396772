"""Policy: which installed plugins are enabled, for whom, at which version, and who decides between two claimants.

Plain data that goes into the plugin index, so that a command need not parse configuration to ask it. The rule: the most
specific level that mentions a plugin's entry-point name decides: its domain, its project, else the root. Within a level
an exact name beats a wildcard, and then ``deny`` beats ``allow``. An ``allow`` of a project or domain that does not
match says nothing; at the root it denies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flytepath.errors import ConfigError, UsageError
from flytepath.model.identity import Tenant, check_label

if TYPE_CHECKING:
    from flytepath.config.settings import Configuration

Json = Any
#: Core itself; no policy can take it away.
CORE: Final = "flytepath"
#: What two plugins can both claim, and what a route may therefore decide.
ROUTE_KINDS: Final = (
    "entry-point",
    "task-type",
    "config",
    "python-type",
    "dataframe-codec",
    "boundary-check",
    "backend",
    "renderer",
    "secret-provider",
    "blob-store",
    "deck-renderer",
    "cli-command",
)


@dataclass(frozen=True, slots=True)
class NameList:
    """The names (with wildcards) of one ``allow`` or ``deny``, and where they were written."""

    names: tuple[str, ...] = ()
    place: str = ""

    def match(self, name: str) -> str | None:
        """The first entry that matches ``name``."""
        return next((entry for entry in self.names if fnmatchcase(name, entry)), None)


@dataclass(frozen=True, slots=True)
class Level:
    """What one level of the policy says."""

    allow: NameList | None = None
    deny: NameList | None = None

    def verdict(self, name: str) -> tuple[bool, str] | None:
        """``(enabled, why)``, or ``None`` where this level does not mention ``name``."""
        rules = ((self.deny, False), (self.allow, True))
        exact = [(rule, name, enabled) for rule, enabled in rules if rule and name in rule.names]
        # A name beats a wildcard, so that one plugin can be let through a deny of many, and the reverse.
        for rule, entry, enabled in [*exact, *((rule, rule.match(name) if rule else None, on) for rule, on in rules)]:
            if rule and entry is not None:
                word = "allowed" if enabled else "denied"
                return enabled, f"{word} by {entry!r} in {rule.place}"
        return None


@dataclass(frozen=True, slots=True)
class Pin:
    """A version that a plugin, named by its entry point or its distribution, must have. PEP 508."""

    requirement: str
    place: str

    def matches(self, *names: str) -> bool:
        """Whether the pin is about a plugin with one of these names."""
        from packaging.utils import canonicalize_name

        from flytepath.plugin.requirements import parse_requirement

        pinned = canonicalize_name(parse_requirement(self.requirement).name)
        return any(canonicalize_name(name) == pinned for name in names)

    def is_met_by(self, version: str) -> bool:
        """Whether ``version`` satisfies it; one that is no version does not."""
        from packaging.version import InvalidVersion

        from flytepath.plugin.requirements import parse_requirement

        requirement = parse_requirement(self.requirement)
        if requirement.marker is not None and not requirement.marker.evaluate():
            return True
        try:
            return requirement.specifier.contains(version, prereleases=True)
        except InvalidVersion:
            return False


@dataclass(frozen=True, slots=True)
class Route:
    """A decision between claimants: ``key`` is ``kind:name``, ``distribution`` provides it."""

    key: str
    distribution: str
    place: str


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy as a whole.

    Args:
        root: the ``[plugins]`` table's lists.
        levels: those of projects and of domains, by ``project`` and ``project/domain``.
        strict: whether a broken or conflicting plugin is an error at start.
        import_timeout: seconds that reading one manifest may take.
        pins: versions that plugins must have.
        routes: decisions by key.

    Example:
        >>> policy = Policy(root=Level(deny=NameList(("spark*",), "flytepath.toml: plugins.deny")))
        >>> policy.enabled("spark"), policy.enabled("ray")
        (False, True)
        >>> policy.why("spark")
        "denied by 'spark*' in flytepath.toml: plugins.deny"
    """

    root: Level = Level()
    levels: Mapping[str, Level] = field(default_factory=dict)
    strict: bool = False
    import_timeout: float = 10.0
    pins: tuple[Pin, ...] = ()
    routes: Mapping[str, Route] = field(default_factory=dict)

    @classmethod
    def load(cls, start: Path | None = None, home: Path | None = None) -> Policy:
        """The policy that holds in a folder.

        Args:
            start: the folder; the current one by default.
            home: takes the place of :func:`flytepath.config.home`.

        Raises:
            ConfigError: a file or variable is wrong.
        """
        from flytepath.config.settings import load_configuration

        return read_policy(load_configuration(start, home))

    def enabled(self, name: str, tenant: Tenant | None = None) -> bool:
        """Whether the plugin of this entry-point name is enabled: for ``tenant``, or where nobody's rule differs."""
        return self._verdict(name, _labels(tenant))[0]

    def indexed(self, name: str) -> bool:
        """Whether anybody at all has the plugin enabled; others are never imported."""
        return any(self._verdict(name, labels)[0] for labels in self._all_labels())

    def why(self, name: str, tenant: Tenant | None = None) -> str:
        """Which entry of which list, in which file, decides about a plugin."""
        return self._verdict(name, _labels(tenant))[1]

    def _verdict(self, name: str, labels: tuple[str, ...]) -> tuple[bool, str]:
        if name == CORE:
            return True, "core itself is always enabled"
        for label in labels:
            said = self.levels[label].verdict(name) if label in self.levels else None
            if said is not None:
                return said
        said = self.root.verdict(name)
        if said is not None:
            return said
        if self.root.allow is None:
            return True, "allowed by default: plugins.allow is not set"
        return False, f"not listed in {self.root.allow.place}"

    def _all_labels(self) -> Iterator[tuple[str, ...]]:
        yield ()
        for label in self.levels:
            project = label.partition("/")[0]
            yield (label,) if label == project else (label, project)

    def to_json(self) -> Json:
        """The policy as plain data, for the index."""

        def level(said: Level) -> Json:
            return [[list(rule.names), rule.place] if rule else None for rule in (said.allow, said.deny)]

        return {
            "root": level(self.root),
            "levels": {label: level(said) for label, said in self.levels.items()},
            "strict": self.strict,
            "import_timeout": self.import_timeout,
            "pins": [[pin.requirement, pin.place] for pin in self.pins],
            "routes": [[route.key, route.distribution, route.place] for route in self.routes.values()],
        }

    @classmethod
    def from_json(cls, data: Json) -> Policy:
        """Read what :meth:`to_json` wrote."""

        def level(said: Json) -> Level:
            return Level(*(NameList(tuple(rule[0]), rule[1]) if rule else None for rule in said))

        return cls(
            root=level(data["root"]),
            levels={label: level(said) for label, said in data["levels"].items()},
            strict=data["strict"],
            import_timeout=data["import_timeout"],
            pins=tuple(Pin(*pin) for pin in data["pins"]),
            routes={route[0]: Route(*route) for route in data["routes"]},
        )


def route_hint(key: str, distribution: str) -> str:
    """How to decide between claimants."""
    return f'uninstall one, or decide in flytepath.toml: [plugins.routes] "{key}" = "{distribution}"'


def read_policy(configuration: Configuration) -> Policy:
    """The policy a configuration holds.

    Raises:
        ConfigError: a pin is no requirement, a route's key is malformed, or a project or domain has an impossible name.
    """

    def names(*key: str) -> NameList | None:
        said = configuration.get(*key)
        return None if said is None else NameList(tuple(said), configuration.place(*key))

    def level(*key: str) -> Level:
        return Level(names(*key, "allow"), names(*key, "deny"))

    levels: dict[str, Level] = {}
    for project, section in configuration.get("projects", default={}).items():
        _check_label(project, "project", f"projects.{project}")
        levels[project] = level("projects", project, "plugins")
        for domain in section.get("domains", {}):
            _check_label(domain, "domain", f"projects.{project}.domains.{domain}")
            levels[f"{project}/{domain}"] = level("projects", project, "domains", domain, "plugins")
    routes = {
        key: _route(key, distribution, configuration.place("plugins", "routes", key))
        for key, distribution in configuration.get("plugins", "routes", default={}).items()
    }
    return Policy(
        root=level("plugins"),
        levels=levels,
        strict=configuration.get("plugins", "strict", default=False),
        import_timeout=float(configuration.get("plugins", "import_timeout", default=10.0)),
        pins=tuple(
            _pin(text, configuration.place("plugins", "pins"))
            for text in configuration.get("plugins", "pins", default=())
        ),
        routes=routes,
    )


def _labels(tenant: Tenant | None) -> tuple[str, ...]:
    return () if tenant is None else (f"{tenant.project}/{tenant.domain}", tenant.project)


def _check_label(value: str, what: str, place: str) -> None:
    try:
        check_label(value, what)
    except UsageError as error:
        raise ConfigError(error.message, place=place, expected=error.expected, actual=error.actual) from error


def _pin(text: str, place: str) -> Pin:
    from packaging.requirements import InvalidRequirement

    from flytepath.plugin.requirements import parse_requirement

    try:
        requirement = parse_requirement(text)
    except InvalidRequirement as error:
        raise ConfigError(
            f"{text!r} is not a pin: {str(error).splitlines()[0]}",
            place=place,
            expected="a plugin's name and its versions, as in 'spark ~= 1.2' (PEP 508)",
            actual=text,
            hint="compare versions with ==, ~=, >=, <= and join several conditions with a comma",
        ) from error
    if requirement.url or requirement.extras:
        raise ConfigError(
            f"the pin {text!r} names more than versions",
            place=place,
            expected="a plugin's name and its versions, as in 'spark ~= 1.2'",
            actual=text,
            hint="a pin only checks what is installed; leave out the URL and the extras",
        )
    return Pin(text, place)


def _route(key: str, distribution: str, place: str) -> Route:
    kind, separator, name = key.partition(":")
    if not separator or kind not in ROUTE_KINDS or not name:
        import difflib

        close = difflib.get_close_matches(kind, ROUTE_KINDS, n=1)
        raise ConfigError(
            f"{key!r} is not the key of a route",
            place=place,
            expected=f"kind:name, with one of {', '.join(ROUTE_KINDS)}",
            actual=key,
            hint=f"did you mean '{close[0]}:{name or '...'}'?" if close else "for example 'task-type:spark'",
        )
    if not distribution.strip():
        raise ConfigError(
            f"the route {key!r} names no distribution",
            place=place,
            expected="the distribution that decides, for example 'flyte-plugin-spark'",
            actual=repr(distribution),
            hint="remove the route, or name one of the claimants",
        )
    return Route(key, distribution, place)
