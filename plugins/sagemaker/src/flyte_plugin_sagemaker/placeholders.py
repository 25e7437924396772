"""Placeholders in the parameters of a call: where they stand, what may stand there, and the values in their places.

Parameters are data: dicts, lists and texts. ``{inputs.x}``, ``{images.x}`` and ``{idempotence_token}`` in a text stand
for a value. A text that is nothing but a placeholder becomes the value, with its type; inside a longer text the value's
own text is written. What was put in is never looked at again, and nothing but items of dicts and lists can be reached:
there is no way from a value to an attribute, a method or a format.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from flytepath.plugin import DefinitionError

from flyte_plugin_sagemaker.parameter_errors import ParameterValueError

Json = Any
#: How many characters an idempotence token has.
TOKEN_LENGTH: Final = 16
#: Stands alone for what a call of this content is known by.
TOKEN: Final = "idempotence_token"
_PATH: Final = r"[A-Za-z_]\w*(?:\.\w+)*"
#: Two braces write one: what stands between them is no placeholder.
_PLACE: Final = re.compile(
    rf"\{{\{{(?P<plain>(?:inputs|images)\.{_PATH}|{TOKEN})\}}\}}"
    rf"|\{{(?P<root>inputs|images)\.(?P<path>{_PATH})\}}"
    rf"|\{{(?P<token>{TOKEN})\}}"
)
#: What was meant to be one, and is none.
_MISTAKEN: Final = re.compile(r"\{\s*(?:inputs?|images?)\s*[.\[][^{}]*\}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """One placeholder.

    Args:
        root: ``inputs``, ``images`` or ``idempotence_token``.
        name: the input or image; empty for the token.
        path: keys and indices inside the value.
    """

    root: Literal["inputs", "images", "idempotence_token"]
    name: str = ""
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "{" + ".".join((self.root, *filter(None, (self.name,)), *self.path)) + "}"


def places(template: Json) -> Iterator[Place]:
    """Every placeholder in ``template``, in order, keys of dicts included.

    Example:
        >>> [str(place) for place in places({"Name": "m-{inputs.name}", "Image": "{images.server}"})]
        ['{inputs.name}', '{images.server}']
    """
    if isinstance(template, str):
        for found in _PLACE.finditer(template):
            if found["plain"] is None:
                yield _place(found)
    elif isinstance(template, Mapping):
        for key, value in template.items():
            yield from places(key)
            yield from places(value)
    elif isinstance(template, list | tuple):
        for item in template:
            yield from places(item)


def check_template(template: Json, inputs: Mapping[str, Any], images: Mapping[str, Any], place: str) -> None:
    """Refuse what can never be filled in.

    Args:
        template: the parameters.
        inputs, images: what placeholders may name.
        place: of the parameters, for errors.

    Raises:
        DefinitionError: a placeholder names nothing, something only looks like one, or the parameters are no data.
    """
    if isinstance(template, Mapping):
        for key, value in template.items():
            if not isinstance(key, str):
                raise DefinitionError("the names of parameters are text", place=place, actual=repr(key)[:200])
            check_template(key, inputs, images, place)
            check_template(value, inputs, images, f"{place}[{key!r}]")
        return
    if isinstance(template, list | tuple):
        for index, item in enumerate(template):
            check_template(item, inputs, images, f"{place}[{index}]")
        return
    if isinstance(template, str):
        _check_text(template, inputs, images, place)
        return
    if template is None or isinstance(template, bool | int):
        return
    if isinstance(template, float) and math.isfinite(template):
        return
    raise DefinitionError(
        f"a {type(template).__qualname__} is no parameter",
        place=place,
        expected="dicts, lists, text, numbers, booleans or None",
        actual=repr(template)[:200],
        hint="an input of the task, bytes too, stands as the text '{inputs.name}'",
    )


def _check_text(text: str, inputs: Mapping[str, Any], images: Mapping[str, Any], place: str) -> None:
    for one in places(text):
        known = {"inputs": inputs, "images": images}.get(one.root)
        if known is not None and one.name not in known:
            raise DefinitionError(
                f"{one} names no {one.root[:-1]}",
                place=place,
                expected=", ".join(f"{{{one.root}.{name}}}" for name in known) or f"no {one.root}: none are given",
                hint=f"give it with {one.root}=; two braces, {{{one}}}, write the text itself",
            )
    left = _PLACE.sub("", text)
    mistaken = _MISTAKEN.search(left)
    if mistaken is not None:
        raise DefinitionError(
            f"{mistaken.group(0)} looks like a placeholder and is none",
            place=place,
            expected="{inputs.name}, {inputs.name.key}, {images.name} or {idempotence_token}",
            actual=mistaken.group(0),
        )


def fill(
    template: Json,
    *,
    inputs: Mapping[str, Any],
    images: Mapping[str, str],
    token: str = "",
    place: str = "config",
) -> Json:
    """The parameters with values in the places of the placeholders.

    Args:
        template: as :func:`check_template` has let pass.
        inputs: plain values: dicts, lists, text, bytes, numbers, booleans, ``None``. The placeholder of one that is
            missing stays.
        images: names of images.
        token: what ``{idempotence_token}`` stands for.
        place: for errors.

    Raises:
        ParameterValueError: a path leads nowhere, or a value cannot stand inside a text.

    Example:
        >>> fill({"Count": "{inputs.n}", "Name": "{inputs.w.name}-x"}, inputs={"n": 3, "w": {"name": "a"}}, images={})
        {'Count': 3, 'Name': 'a-x'}
        >>> fill("{{inputs.n}} is {inputs.n}", inputs={"n": 3}, images={})
        '{inputs.n} is 3'
    """

    def value(one: Place, at: str) -> Json:
        if one.root == TOKEN:
            return token
        known = inputs if one.root == "inputs" else images
        # Before a run nobody knows its inputs: their places are left as they are.
        return _inside(known[one.name], one, at) if one.name in known else str(one)

    return _filled(template, value, place)


def content_token(template: Json, *, inputs: Mapping[str, Any], images: Mapping[str, str], salt: str) -> str:
    """What calls of the same content share: 16 hexadecimal digits of the digest of all that is sent.

    Args:
        template, inputs, images: as for :func:`fill`.
        salt: what is called, and where.

    Example:
        >>> content_token({"Name": "{inputs.n}"}, inputs={"n": 1}, images={}, salt="sagemaker.create_model")
        '7f7bc9ea95fc95d3'
    """
    filled = fill(template, inputs=inputs, images=images, token="")
    text = json.dumps([salt, filled], sort_keys=True, separators=(",", ":"), default=lambda value: value.hex())
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:TOKEN_LENGTH]


def needs_token(template: Json) -> bool:
    """Whether ``{idempotence_token}`` stands anywhere."""
    return any(one.root == TOKEN for one in places(template))


def _place(found: re.Match[str]) -> Place:
    if found["token"] is not None:
        return Place("idempotence_token")
    name, *path = found["path"].split(".")
    return Place("inputs" if found["root"] == "inputs" else "images", name, tuple(path))


def _filled(template: Json, value: Callable[[Place, str], Json], place: str) -> Json:
    if isinstance(template, str):
        return _text(template, value, place)
    if isinstance(template, Mapping):
        out: dict[str, Json] = {}
        for key, item in template.items():
            name = _text(key, value, place)
            if not isinstance(name, str):
                raise ParameterValueError(
                    f"{key} is no name of a parameter", place=place, expected="text", actual=type(name).__name__
                )
            if name in out:
                raise ParameterValueError(f"two parameters are named {name!r}", place=place)
            out[name] = _filled(item, value, f"{place}[{name!r}]")
        return out
    if isinstance(template, list | tuple):
        return [_filled(item, value, f"{place}[{index}]") for index, item in enumerate(template)]
    return template


def _text(text: str, value: Callable[[Place, str], Json], place: str) -> Json:
    whole = _PLACE.fullmatch(text)
    if whole is not None and whole["plain"] is None:
        return value(_place(whole), place)

    def written(found: re.Match[str]) -> str:
        if found["plain"] is not None:
            return "{" + found["plain"] + "}"
        one = _place(found)
        return _as_text(value(one, place), one, place)

    return _PLACE.sub(written, text)


def _as_text(value: Json, one: Place, place: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise ParameterValueError(
        f"{one} cannot stand inside a text",
        place=place,
        expected="a text, a number or a boolean",
        actual="None" if value is None else type(value).__name__,
        hint="a text that is nothing but the placeholder becomes the value itself",
    )


def _inside(value: Json, one: Place, place: str) -> Json:
    """What a path leads to: by keys of dicts and indices of lists, and by nothing else."""
    for step in one.path:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list | tuple) and step.isascii() and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise ParameterValueError(
                f"{one} leads nowhere: there is no {step!r}",
                place=place,
                expected=_offer(value),
                actual=step,
            )
    return value


def _offer(value: Json) -> str:
    if isinstance(value, Mapping):
        return ", ".join(map(str, value)) or "an empty dict has no keys"
    if isinstance(value, list | tuple):
        return f"an index below {len(value)}"
    return f"a dict or a list, not {type(value).__name__}"
