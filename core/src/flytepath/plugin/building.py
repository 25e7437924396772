"""Building the index: what is installed, what policy lets through, what the manifests declare, who collides.

Imported only when there is no index that holds; stevedore, pluggy and the metadata are paid for here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name

from flytepath.errors import ConfigError
from flytepath.plugin import builtin
from flytepath.plugin.claims import CLASS_OF, claim_keys, to_plain
from flytepath.plugin.collect import Collected, collect
from flytepath.plugin.contract import CONTRACT_MAJOR, CONTRACT_MINOR, ENTRY_POINT_GROUP, ENTRY_POINT_PREFIX
from flytepath.plugin.discovery import Installed, installed_plugins
from flytepath.plugin.index import earlier_indexes, environment_listing, interpreter, stamps
from flytepath.plugin.policy import CORE, Policy, Route, route_hint

Json = Any
#: Stands for core in the place of a plugin's number.
CORE_NUMBER: Final = -1


def build_index(policy: Policy, home: Path) -> Json:
    """Read everything and put it in the form the index keeps.

    Args:
        policy: decides, before a manifest is imported, whether it is, and between claimants.
        home: where earlier indexes tell what plugins claimed that are broken now.

    Raises:
        ConfigError: a route leads to nothing.
    """
    listing = environment_listing()
    installed = installed_plugins()
    watched = stamps(sorted({file for item in installed for file in item.files}))
    records = [_record(item, policy, installed) for item in installed]
    allowed = [(item.name, item.value) for item, record in zip(installed, records, strict=True) if not record["state"]]
    collected = collect(allowed, policy.import_timeout) if allowed else {}
    claims: dict[str, list[Json]] = {}
    broken: dict[int, set[str]] = {}
    missing: set[str] = set()
    for number, record in enumerate(records):
        if record["state"]:
            if record["state"] != "denied":
                broken[number] = set()
            continue
        result = collected[record["name"]]
        _complete(record, result)
        known = {stamp[0] for stamp in watched}
        watched += stamps([file for file in result.files if file not in known])
        if result.failure:
            broken[number] = set(_keys(result.declarations))
            missing |= _missing_library(result)
            continue
        for hook, items in result.declarations.items():
            claims.setdefault(hook, []).extend([number, fields] for fields in items)
    conflicts = [*_name_conflicts(records, policy), *_claim_conflicts(claims, records, policy)]
    _check_routes(policy, records, claims)
    return {
        "interpreter": interpreter(),
        "listing": listing,
        "files": watched,
        "missing": sorted(missing),
        "policy": policy.to_json(),
        "plugins": records,
        "claims": claims,
        "conflicts": conflicts,
        "broken": _broken_keys(broken, records, home),
    }


def core_claims() -> dict[str, list[Json]]:
    """What core itself declares, in the form of the index."""
    return {hook: [to_plain(item) for item in getattr(builtin, hook)()] for hook in CLASS_OF if hasattr(builtin, hook)}


def _record(item: Installed, policy: Policy, installed: Iterable[Installed]) -> dict[str, Json]:
    """The record of a plugin; its state stays empty where its manifest is to be read."""
    state, cause, hint = _judge(item, policy, list(installed))
    return {
        "name": item.name,
        "distribution": item.distribution,
        "version": item.version,
        "module": item.value,
        "state": state,
        "cause": cause,
        "hint": hint,
        "detail": "",
        "requires": list(item.requires),
        "contract": item.group.removeprefix(ENTRY_POINT_PREFIX),
        "seconds": 0.0,
        "imported": [],
    }


def _judge(item: Installed, policy: Policy, installed: list[Installed]) -> tuple[str, str, str]:
    """``(state, cause, hint)`` of a plugin as far as the metadata and the policy tell."""
    ours = [other for other in installed if other.group == ENTRY_POINT_GROUP]
    if not policy.indexed(item.name):
        return "denied", policy.why(item.name), f"`flytepath plugins enable {item.name}`"
    if item.problem:
        return "quarantined", item.problem, f"install {item.distribution} again"
    if item.group != ENTRY_POINT_GROUP:
        return (
            "incompatible",
            f"it is made for contract {item.group.removeprefix('flytepath.')}, "
            f"this flytepath offers v{CONTRACT_MAJOR}.{CONTRACT_MINOR}",
            f"install a version of {item.distribution} for contract v{CONTRACT_MAJOR}, or another flytepath",
        )
    if item.name == CORE:
        return "quarantined", f"the name {CORE!r} is core's own", "its authors must name the entry point differently"
    siblings = sorted(other.name for other in ours if other.distribution == item.distribution)
    if len(siblings) > 1:
        return (
            "quarantined",
            f"{item.distribution} has {len(siblings)} entry points in {ENTRY_POINT_GROUP}: {', '.join(siblings)}",
            "one distribution is one plugin: its authors must return all declarations from one manifest",
        )
    rivals = [other for other in ours if other.name == item.name]
    if len(rivals) > 1:
        route = policy.routes.get(f"entry-point:{item.name}")
        if route is None:
            both = " and ".join(sorted(other.distribution for other in rivals))
            return (
                "quarantined",
                f"{both} both have the entry point {item.name!r}; none of them is imported",
                route_hint(f"entry-point:{item.name}", item.distribution),
            )
        if not _is_for(route, item.distribution):
            return "denied", f"{route.place} gives {item.name!r} to {route.distribution}", "change or remove the route"
    if ":" in item.value or not all(part.isidentifier() for part in item.value.split(".")):
        return (
            "quarantined",
            f"its entry point {item.value!r} is no module",
            "the value of the entry point must be the manifest module, for example 'flyte_plugin_x.plugin'",
        )
    for pin in policy.pins:
        if pin.matches(item.name, item.distribution) and not pin.is_met_by(item.version):
            return (
                "quarantined",
                f"version {item.version} is not the pinned {pin.requirement!r} ({pin.place})",
                f"install a version of {item.distribution} that fits the pin, or change the pin",
            )
    return "", "", ""


def _complete(record: dict[str, Json], result: Collected) -> None:
    record |= {
        "state": result.failure or "enabled",
        "cause": result.cause,
        "hint": result.hint,
        "detail": result.detail,
        "seconds": round(result.seconds, 6),
        "imported": list(result.imported),
        "contract": f"{CONTRACT_MAJOR}.{result.contract_minor}",
    }


def _missing_library(result: Collected) -> set[str]:
    _, found, rest = result.cause.partition("it needs the library '")
    return {rest.partition("'")[0]} if found else set()


def _keys(declared: Mapping[str, Iterable[Mapping[str, Json]]]) -> Iterator[str]:
    for hook, items in declared.items():
        for fields in items:
            yield from claim_keys(hook, fields)


def _is_for(route: Route, distribution: str) -> bool:
    return canonicalize_name(route.distribution) == canonicalize_name(distribution)


def _name_conflicts(records: list[dict[str, Json]], policy: Policy) -> Iterator[Json]:
    by_name: dict[str, list[int]] = {}
    for number, record in enumerate(records):
        if record["contract"].partition(".")[0] == str(CONTRACT_MAJOR) and policy.indexed(record["name"]):
            by_name.setdefault(record["name"], []).append(number)
    for name, numbers in by_name.items():
        if len({records[number]["distribution"] for number in numbers}) > 1 and name != CORE:
            key = f"entry-point:{name}"
            yield _decided(key, numbers, records, policy)
        elif name == CORE:
            yield [f"entry-point:{name}", [CORE_NUMBER, *numbers], "core", CORE_NUMBER]


def _claim_conflicts(
    claims: Mapping[str, list[Json]], records: list[dict[str, Json]], policy: Policy
) -> Iterator[Json]:
    claimants: dict[str, set[int]] = {key: {CORE_NUMBER} for key in _keys(core_claims())}
    for hook, items in claims.items():
        for number, fields in items:
            for key in claim_keys(hook, fields):
                claimants.setdefault(key, set()).add(number)
    for key, numbers in sorted(claimants.items()):
        if len(numbers) > 1:
            yield _decided(key, sorted(numbers), records, policy)


def _decided(key: str, numbers: list[int], records: list[dict[str, Json]], policy: Policy) -> Json:
    """``[key, claimants, what decided or null, the winner or null]``."""
    if CORE_NUMBER in numbers:
        return [key, numbers, "core", CORE_NUMBER]
    route = policy.routes.get(key)
    winner = next((n for n in numbers if route and _is_for(route, records[n]["distribution"])), None)
    return [key, numbers, route.place if route and winner is not None else None, winner]


def _broken_keys(broken: Mapping[int, set[str]], records: list[dict[str, Json]], home: Path) -> dict[str, int]:
    """What the plugins that are set aside claim, or claimed when they last worked: key -> plugin."""
    if not broken:
        return {}
    earlier = earlier_indexes(home)
    found: dict[str, int] = {}
    for number, keys in broken.items():
        who = (records[number]["name"], records[number]["distribution"])
        known = keys or next((last for last in (_last_known(body, who) for body in earlier) if last), set())
        found.update(dict.fromkeys(known, number))
    return found


def _last_known(body: Json, who: tuple[str, str]) -> set[str]:
    numbers = {n for n, item in enumerate(body["plugins"]) if (item["name"], item["distribution"]) == who}
    keys = {key for key, number in body["broken"].items() if number in numbers}
    for hook, items in body["claims"].items():
        keys |= {key for number, fields in items if number in numbers for key in claim_keys(hook, fields)}
    return keys


def _check_routes(policy: Policy, records: list[dict[str, Json]], claims: Mapping[str, list[Json]]) -> None:
    core = set(_keys(core_claims()))
    claimed: dict[int, set[str]] = {number: {f"entry-point:{item['name']}"} for number, item in enumerate(records)}
    for hook, items in claims.items():
        for number, fields in items:
            claimed[number] |= set(claim_keys(hook, fields))
    for route in policy.routes.values():
        if route.key in core:
            if canonicalize_name(route.distribution) == CORE:
                continue
            raise ConfigError(
                f"the route {route.key!r} leads away from core",
                place=route.place,
                actual=route.distribution,
                hint="what core provides cannot be given to a plugin; remove the route",
            )
        targets = [n for n, item in enumerate(records) if _is_for(route, item["distribution"])]
        if not targets:
            raise _route_to_nothing(
                route,
                f"no installed plugin is of the distribution {route.distribution!r}",
                route.distribution,
                [item["distribution"] for item in records],
            )
        # What a plugin that is set aside would claim is not known, and one broken plugin must not stop the others.
        if all(records[n]["state"] != "enabled" for n in targets) and not route.key.startswith("entry-point:"):
            continue
        if not any(route.key in claimed[n] for n in targets):
            everything = {key for keys in claimed.values() for key in keys}
            own = {key for n in targets for key in claimed[n]}
            if route.key in everything:
                who = [records[n]["distribution"] for n, keys in claimed.items() if route.key in keys]
                raise _route_to_nothing(
                    route, f"{route.distribution} does not claim {route.key!r}", route.distribution, who, sure=True
                )
            raise _route_to_nothing(
                route, f"no enabled plugin claims {route.key!r}", route.key, sorted(own) + sorted(everything - own)
            )


def _route_to_nothing(
    route: Route, message: str, word: str, valid: Iterable[str], *, sure: bool = False
) -> ConfigError:
    names = list(dict.fromkeys(valid))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.0 if sure else 0.5)
    return ConfigError(
        message,
        place=route.place,
        actual=f'"{route.key}" = "{route.distribution}"',
        hint=f"did you mean {close[0]!r}?" if close else "remove the route, or install what it names",
    )
