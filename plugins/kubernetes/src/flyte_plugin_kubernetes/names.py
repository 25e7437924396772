"""What may be a name, a label and an annotation on a cluster: the syntax of the Kubernetes API, checked early."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from flyte_plugin_kubernetes.errors import KubernetesNameError

LABEL_LIMIT: Final = 63
SUBDOMAIN_LIMIT: Final = 253
#: Of all annotations of an object together, keys and values.
ANNOTATIONS_LIMIT: Final = 256 * 1024

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_SUBDOMAIN: Final = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", re.ASCII)
_DATA_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+", re.ASCII)


def dns_label(name: Any, place: str, *, what: str = "name", hint: str | None = None) -> str:
    """``name``, if it can name a namespace, a container or a volume.

    Raises:
        KubernetesNameError: it cannot.

    Example:
        >>> dns_label("side-car", "spec.containers[1].name")
        'side-car'
    """
    if isinstance(name, str) and len(name) <= LABEL_LIMIT and _LABEL.fullmatch(name):
        return name
    raise KubernetesNameError(
        f"{name!r} cannot be the {what}",
        place=place,
        expected="1 to 63 lower-case letters, digits and '-', the first and the last a letter or digit",
        actual=repr(name),
        hint=hint,
    )


def subdomain(name: Any, place: str, *, what: str = "name", hint: str | None = None) -> str:
    """``name``, if it can name a secret, a service account and most other objects.

    Raises:
        KubernetesNameError: it cannot.
    """
    if isinstance(name, str) and len(name) <= SUBDOMAIN_LIMIT and _SUBDOMAIN.fullmatch(name):
        return name
    raise KubernetesNameError(
        f"{name!r} cannot be the {what}",
        place=place,
        expected="1 to 253 lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or "
        "digit",
        actual=repr(name),
        hint=hint,
    )


def data_key(name: str, place: str) -> str:
    """``name``, if it can be a key in the data of a secret."""
    if len(name) <= SUBDOMAIN_LIMIT and _DATA_KEY.fullmatch(name) and name not in {".", ".."}:
        return name
    raise KubernetesNameError(
        f"{name!r} cannot be a key of a Kubernetes secret",
        place=place,
        expected="1 to 253 letters, digits, '-', '_' and '.'",
        actual=repr(name),
    )


def checked_labels(labels: Mapping[str, Any], place: str) -> dict[str, str]:
    """The labels, if the API takes them.

    Raises:
        KubernetesNameError: a key that is no qualified name, or a value that is none; with the pair.
    """
    for key, value in labels.items():
        _check_key(key, place)
        if not isinstance(value, str) or len(value) > LABEL_LIMIT or (value and not _WORD.fullmatch(value)):
            raise KubernetesNameError(
                f"{value!r} cannot be the value of a label",
                place=f"{place}[{key!r}]",
                expected="up to 63 letters, digits, '-', '_' and '.', the first and the last a letter or digit",
                actual=repr(value),
                hint="annotations hold any text",
            )
    return dict(labels)


def checked_annotations(annotations: Mapping[str, Any], place: str) -> dict[str, str]:
    """The annotations, if the API takes them.

    Raises:
        KubernetesNameError: a key that is no qualified name, a value that is no text, or too much of both.
    """
    size = 0
    for key, value in annotations.items():
        _check_key(key, place)
        if not isinstance(value, str):
            raise KubernetesNameError(
                "the value of an annotation is text",
                place=f"{place}[{key!r}]",
                expected="str",
                actual=repr(value),
                hint=f"write {str(value)!r}",
            )
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_LIMIT:
        raise KubernetesNameError(
            "the annotations are too large", place=place, expected="at most 256 KiB", actual=f"{size} bytes"
        )
    return dict(annotations)


def label_value(text: str) -> str:
    """A label's value for any text: itself where it can be one, else its beginning and a digest.

    Example:
        >>> label_value("development"), label_value("flow.train/n0")
        ('development', 'flow.train-n0-b3a1143cb2ec')
        >>> len(label_value("x" * 100))
        63
    """
    if not text or (len(text) <= LABEL_LIMIT and _WORD.fullmatch(text)):
        return text
    tail = hashlib.sha256(text.encode()).hexdigest()[:12]
    head = re.sub(r"[^A-Za-z0-9_.]+", "-", text)[: LABEL_LIMIT - len(tail) - 1].strip("-_.")
    return f"{head}-{tail}" if head else tail


def _check_key(key: Any, place: str) -> None:
    prefix, slash, name = key.rpartition("/") if isinstance(key, str) else ("", "", "")
    good = len(name) <= LABEL_LIMIT and _WORD.fullmatch(name)
    if good and (not slash or (len(prefix) <= SUBDOMAIN_LIMIT and _SUBDOMAIN.fullmatch(prefix))):
        return
    raise KubernetesNameError(
        f"{key!r} cannot be the key of a label or annotation",
        place=f"{place}[{key!r}]",
        expected="a name of up to 63 letters, digits, '-', '_' and '.', perhaps with the prefix of a domain, as in "
        "example.com/team",
        actual=repr(key),
    )
