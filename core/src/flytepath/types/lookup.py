"""Which transformer handles a Python type: core's own table first, then what the enabled plugins declare."""

from __future__ import annotations

import importlib
import sys
import typing
from typing import Any

from flytepath.plugin.builtin_types import BUILTIN_TRANSFORMERS, BuiltinTransformer
from flytepath.plugin.transformer import TypeTransformer
from flytepath.types.converter import is_hashable, qualified_name

_BUILTIN: dict[tuple[str, str], BuiltinTransformer] = {
    (row.match, name): row for row in BUILTIN_TRANSFORMERS for name in row.python_types
}
_instances: dict[str, TypeTransformer[Any]] = {}
#: Transformers that the user's own code registered, by the qualified name of the class.
_registered: dict[str, TypeTransformer[Any]] = {}
#: Classes whose converter was decided on without one of these.
_decided: set[str] = set()


def builtin_form(form: str) -> TypeTransformer[Any]:
    """Core's transformer of a form that is no class: ``typing.Union``, ``dataclasses.dataclass``, ..."""
    return _instance(_BUILTIN["origin", form].transformer)


def transformer_for_generic(t: Any, origin: type[Any]) -> TypeTransformer[Any] | None:
    """The transformer of ``t``, which is ``origin[...]``, if anyone declares one."""
    own = _registered_for(origin)
    if own is not None:
        return own
    row = _BUILTIN.get(("origin", qualified_name(origin)))
    return _instance(row.transformer) if row else _from_plugins(t, origin)


def transformer_for_class(t: type[Any]) -> TypeTransformer[Any] | None:
    """The transformer of a class: by its own name, by those of its bases, or by the form it has."""
    row = _BUILTIN.get(("exact", qualified_name(t)))
    if row is not None:
        return _instance(row.transformer)
    own = _registered_for(t)
    if own is not None:
        return own
    claimed = _from_plugins(t, t)
    if claimed is not None:
        return claimed
    for base in t.__mro__:
        row = _BUILTIN.get(("subclass", qualified_name(base)))
        if row is not None:
            return _instance(row.transformer)
    form = form_of(t)
    return builtin_form(form) if form else None


def needs_arguments(t: type[Any]) -> bool:
    """Whether core knows a class with type arguments only, as in ``FlyteIterator[int]``."""
    return ("origin", qualified_name(t)) in _BUILTIN


def register(cls: type[Any], transformer: TypeTransformer[Any]) -> None:
    """Let ``transformer`` handle ``cls`` in this process; see :meth:`flytepath.types.type_engine.TypeEngine.register`.

    Raises:
        DefinitionError: core itself handles the class, or a converter was built for it before.
        PluginConflictError: another transformer handles it.
    """
    from flytepath.errors import DefinitionError, PluginConflictError

    name, ours = qualified_name(cls), qualified_name(type(transformer))
    if ("exact", name) in _BUILTIN or ("origin", name) in _BUILTIN:
        raise DefinitionError(
            f"values of {name} are kept by flytepath itself",
            place=ours,
            hint="make a class of your own, and register a transformer for that",
        )
    known = _registered.get(name)
    claimed = known or _from_plugins(cls, cls)
    if claimed is not None and qualified_name(type(claimed)) != ours:
        raise PluginConflictError(
            f"{name} has a transformer already",
            place=ours,
            expected="one transformer per class",
            actual=qualified_name(type(claimed)),
            hint="remove one of the two: which one counts must not depend on what is imported first",
        )
    if known is None and name in _decided:
        raise DefinitionError(
            f"a transformer for {name} is registered after the class was used",
            place=ours,
            hint="register it where the class is defined, before the first task that takes or returns it",
        )
    _registered[name] = transformer


def _registered_for(cls: type[Any]) -> TypeTransformer[Any] | None:
    name = qualified_name(cls)
    own = _registered.get(name)
    if own is None:
        _decided.add(name)
    return own


def form_of(t: type[Any]) -> str | None:
    """The name of the form a class has, where it is one that core takes apart into fields."""
    if hasattr(t, "__dataclass_fields__"):
        return "dataclasses.dataclass"
    if typing.is_typeddict(t) or hasattr(t, "__required_keys__"):
        return "typing.TypedDict"
    if issubclass(t, tuple) and hasattr(t, "_fields"):
        return "typing.NamedTuple"
    return None


def _from_plugins(t: Any, cls: type[Any]) -> TypeTransformer[Any] | None:
    if all(_is_out_of_reach(base.__module__) for base in cls.__mro__):
        return None
    from flytepath.plugin.manager import current

    plugins = current()
    # Nobody claims a generic by an argument that cannot be hashed.
    claim = plugins.transformer_for(t if is_hashable(t) else cls)
    if claim is not None:
        return _instance(claim.declaration.transformer, plugins.resolve)
    is_frame = isinstance(t, type) and f"{t.__module__}.{t.__qualname__}" in plugins.dataframe_claims("frame_type")
    return _instance("flytepath.types.plugin_frames:PluginFrameTransformer") if is_frame else None


def _is_out_of_reach(module: str) -> bool:
    """Whether no plugin has a say about the classes of a module, so that the index need not be read for them."""
    root = module.partition(".")[0]
    return root in {"__main__", "flytepath", "typing_extensions"} or root in sys.stdlib_module_names


def _instance(reference: str, resolve: Any = None) -> TypeTransformer[Any]:
    found = _instances.get(reference)
    if found is None:
        if resolve is None:
            module, _, attribute = reference.partition(":")
            found = getattr(importlib.import_module(module), attribute)()
        else:
            found = resolve(reference)()
        _check_transformer(found, reference)
        _instances[reference] = found
    return found


def _check_transformer(found: Any, reference: str) -> None:
    """Refuse what a reference points to where it is no transformer."""
    if not isinstance(found, TypeTransformer):
        from flytepath.errors import PluginError

        raise PluginError(
            f"{reference} is not a TypeTransformer",
            place=reference,
            expected="a subclass of flytepath.plugin.TypeTransformer",
            actual=type(found).__name__,
        )
