"""Whether a manifest keeps the contract: its hooks called one by one, everything they return checked."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from types import ModuleType
from typing import Any

import pluggy

from flytepath.plugin import hookspecs
from flytepath.plugin.claims import claim_keys, to_plain
from flytepath.plugin.contract import CONTRACT_MAJOR, CONTRACT_MINOR
from flytepath.plugin.hookimpl import PROJECT
from flytepath.plugin.hookspecs import DECLARATION_OF
from flytepath.plugin.references import KIND_OF, TYPE_NAMES

Json = Any


class Refusal(Exception):
    """The manifest breaks the contract."""

    def __init__(self, cause: str, hint: str = "", *, failure: str = "quarantined", detail: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint
        self.failure = failure
        self.detail = detail


def declarations_of(manifest: ModuleType, message: dict[str, Json]) -> None:
    """Fill ``message`` with the manifest's declarations, as plain data.

    All hooks are called even after one failed, so that what a broken plugin would claim is known.

    Raises:
        Refusal: the first thing that is wrong.
    """
    from flytepath.plugin.collect import describe

    refusals: list[Refusal] = []
    for caller in _implemented(manifest):
        try:
            declared = caller()
            # A hook with one implementation returns one result; pluggy leaves out None.
            items = _checked_list(caller.name, declared[0] if declared else None)
        except Refusal as refusal:
            refusals.append(refusal)
            continue
        except BaseException as error:  # noqa: BLE001 - whatever a hook raises quarantines its plugin, nothing else
            told = describe(error, manifest.__name__.partition(".")[0])
            cause = f"{caller.name} raised {type(error).__name__}: {error}".rstrip(": ")
            refusals.append(Refusal(cause, "its authors must correct the hook", detail=told["detail"]))
            continue
        message["declarations"][caller.name] = [to_plain(item) for item in items]
        message["contract_minor"] = max([message["contract_minor"], *(item.contract_minor for item in items)])
        refusals += _found_in(caller.name, items)
    if message["contract_minor"] > CONTRACT_MINOR:
        raise Refusal(
            f"it needs contract {CONTRACT_MAJOR}.{message['contract_minor']}, "
            f"this flytepath offers {CONTRACT_MAJOR}.{CONTRACT_MINOR}",
            "upgrade flytepath, or install an earlier version of the plugin",
            failure="incompatible",
        )
    if refusals:
        raise refusals[0]


def _implemented(manifest: ModuleType) -> list[pluggy.HookCaller]:
    """The hooks a manifest implements, registered with a manager that knows nothing else."""
    unknown = [
        name
        for name, value in vars(manifest).items()
        if name.startswith(f"{PROJECT}_") and hasattr(value, f"{PROJECT}_impl") and name not in DECLARATION_OF
    ]
    if unknown:
        close = difflib.get_close_matches(unknown[0], DECLARATION_OF, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the hooks are {', '.join(DECLARATION_OF)}"
        raise Refusal(f"{unknown[0]!r} is not a hook of contract {CONTRACT_MAJOR}.{CONTRACT_MINOR}", hint)
    scratch = pluggy.PluginManager(PROJECT)
    scratch.add_hookspecs(hookspecs)
    try:
        scratch.register(manifest)
        scratch.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        raise Refusal(f"its hooks do not fit the contract: {error}", "hooks take no arguments") from error
    callers = scratch.get_hookcallers(manifest) or []
    return sorted(callers, key=lambda caller: list(DECLARATION_OF).index(caller.name))


def _checked_list(hook: str, returned: Any) -> list[Any]:
    kind = DECLARATION_OF[hook]
    if not isinstance(returned, list):
        raise Refusal(f"{hook} returned {type(returned).__name__}, not a list of {kind.__name__}", "return a list")
    for item in returned:
        if not isinstance(item, kind):
            raise Refusal(
                f"{hook} returned a list with {type(item).__name__} in it, not only {kind.__name__}",
                f"each item must be a flytepath.plugin.{kind.__name__}",
            )
        _check_fields(hook, item)
    return returned


def _found_in(hook: str, items: list[Any]) -> list[Refusal]:
    """The same thing claimed twice by one plugin."""
    seen: set[tuple[str, str]] = set()
    found = []
    for item in items:
        for key in claim_keys(hook, to_plain(item)):
            mark = (key, getattr(item, "match", ""))
            if mark in seen:
                found.append(Refusal(f"{hook} declares {key} twice", "remove one of the two"))
            seen.add(mark)
    return found


def _check_fields(hook: str, item: Any) -> None:
    kind = type(item)
    for name, hint in typing.get_type_hints(kind).items():
        value = getattr(item, name)
        where = f"{hook}: {name} of {kind.__name__}"
        if not _fits(value, hint):
            raise Refusal(f"{where} is {value!r}", f"it must be {_spelled(hint)}")
        optional = any(field.name == name and field.default == "" for field in dataclasses.fields(kind))
        if name in KIND_OF[hook]:
            if not (_is_reference(value) or (optional and not value)):
                raise Refusal(f"{where} is {value!r}, which is no reference", "write it as 'module:attribute'")
        elif name in TYPE_NAMES.get(hook, ()):
            for text in (value,) if isinstance(value, str) else value:
                if "." not in text or not all(part.isidentifier() for part in text.split(".")):
                    raise Refusal(f"{where} has {text!r}, which is no qualified name", "write it as 'module.Class'")
            if not value:
                raise Refusal(f"{where} is empty", "name at least one type as 'module.Class'")
        elif isinstance(value, str) and not optional and not value:
            raise Refusal(f"{where} is empty", "give it a name")


def _is_reference(text: str) -> bool:
    module, _, attribute = text.partition(":")
    return all(part.isidentifier() for part in (*module.split("."), *attribute.split(".")))


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is what a declaration's field says: one of the few forms the index can hold."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if origin is tuple:
        inner = typing.get_args(hint)
        if not isinstance(value, tuple):
            return False
        if inner[-1] is Ellipsis:
            return all(_fits(part, inner[0]) for part in value)
        return len(value) == len(inner) and all(map(_fits, value, inner))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if dataclasses.is_dataclass(hint):
        return isinstance(value, hint) and all(  # type: ignore[arg-type]
            _fits(getattr(value, name), part) for name, part in typing.get_type_hints(hint).items()
        )
    return isinstance(value, hint)


def _spelled(hint: Any) -> str:
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return f"of type {hint.__name__}"
    return f"of type {str(hint).replace('typing.', '')}"
