"""``Cache``: whether a task's outputs are reused, and what decides that they may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, runtime_checkable

from flytepath.errors import DefinitionError
from flytepath.model.declared import need_flag, need_texts, set_field

if TYPE_CHECKING:
    from flytepath.authoring.declared.image_spec import ImageSpec
    from flytepath.authoring.declared.pod_template import PodTemplate

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class VersionParameters(Generic[P, R]):
    """What a :class:`CachePolicy` may look at.

    Args:
        func: the task's function; ``None`` for a task that has none.
        container_image: the image the task declares.
        pod_template, pod_template_name: the pod the task declares.
    """

    func: Callable[P, R] | None
    container_image: str | ImageSpec | None = None
    pod_template: PodTemplate | None = None
    pod_template_name: str | None = None


@runtime_checkable
class CachePolicy(Protocol):
    """Gives a version to what a task does, so that a change of it misses the cache.

    Example:
        >>> class ByName:
        ...     def get_version(self, salt: str, params: VersionParameters) -> str:
        ...         return params.func.__qualname__ + salt
        >>> isinstance(ByName(), CachePolicy)
        True
    """

    def get_version(self, salt: str, params: VersionParameters[..., Any]) -> str:
        """A text that is the same as long as outputs may be reused."""


@dataclass(frozen=True, slots=True)
class Cache:
    """Reuse a task's outputs where its inputs and its version are the same.

    Args:
        version: changed by hand whenever the task's result would change.
        serialize: let only one of several equal calls run at a time; the others wait for its result.
        ignored_inputs: inputs that do not matter, one name or several.
        salt: goes into every version, to leave all earlier results behind.
        policies: compute the version instead; several are combined. An explicit ``version`` goes before them.

    Raises:
        DefinitionError: neither a version nor a policy, or an argument of the wrong kind.

    Example:
        >>> Cache(version="1.0", ignored_inputs="verbose").ignored_inputs
        ('verbose',)
        >>> Cache()
        Traceback (most recent call last):
        flytepath.errors.DefinitionError: [FP-DEFINITION] a cache needs a version, or a policy that computes one
          at: Cache()
          expected: Cache(version="1.0") or Cache(policies=[...])
    """

    version: str | None = None
    serialize: bool = False
    ignored_inputs: tuple[str, ...] | str = ()
    salt: str = ""
    policies: list[CachePolicy] | tuple[CachePolicy, ...] | CachePolicy | None = None

    def __post_init__(self) -> None:
        need_flag(self.serialize, "Cache(serialize)")
        for name in ("version", "salt"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name == "version" and value is None):
                raise DefinitionError(
                    f"the {name} of a cache is text", place=f"Cache({name})", expected="str", actual=repr(value)
                )
        ignored = (self.ignored_inputs,) if isinstance(self.ignored_inputs, str) else self.ignored_inputs
        set_field(self, "ignored_inputs", need_texts(ignored, "Cache(ignored_inputs)"))
        given = self.policies
        policies = () if given is None else tuple(given) if isinstance(given, list | tuple) else (given,)
        for policy in policies:
            if isinstance(policy, type) or not callable(getattr(policy, "get_version", None)):
                raise DefinitionError(
                    "a cache policy has a method get_version(salt, params)",
                    place="Cache(policies)",
                    expected="an instance of a CachePolicy",
                    actual=repr(policy),
                    hint=f"write {policy.__name__}()" if isinstance(policy, type) else None,
                )
        set_field(self, "policies", policies)
        if self.version is None and not policies:
            raise DefinitionError(
                "a cache needs a version, or a policy that computes one",
                place="Cache()",
                expected='Cache(version="1.0") or Cache(policies=[...])',
            )
        if self.version is not None and not self.version:
            raise DefinitionError(
                "the version of a cache cannot be empty", place="Cache(version)", expected='for example "1.0"'
            )

    def get_ignored_inputs(self) -> tuple[str, ...]:
        """The inputs that do not matter."""
        return tuple(self.ignored_inputs)

    def get_version(self, params: VersionParameters[..., Any]) -> str:
        """The version that the task's outputs are kept under.

        Raises:
            DefinitionError: a policy gave something else than text.
        """
        if self.version is not None:
            return self.version
        import hashlib

        digest = hashlib.sha256()
        for policy in self.policies:  # type: ignore[union-attr]  # a tuple, since it was made
            found = policy.get_version(self.salt, params)
            if not isinstance(found, str):
                raise DefinitionError(
                    "a cache policy must give a text",
                    place=f"{type(policy).__qualname__}.get_version",
                    expected="str",
                    actual=repr(found),
                )
            # Each with its length, so that ("ab", "c") and ("a", "bc") differ.
            digest.update(f"{len(found)}:{found}".encode())
        return digest.hexdigest()

    def check_inputs(self, names: tuple[str, ...], task: str) -> None:
        """Refuse an ignored input that the task does not have.

        Raises:
            DefinitionError: names the input and those there are.
        """
        for name in self.get_ignored_inputs():
            if name not in names:
                raise DefinitionError(
                    f"the cache of {task} ignores an input that the task does not have",
                    place=f"{task}(cache.ignored_inputs)",
                    expected=f"one of {', '.join(names) or 'none: the task has no inputs'}",
                    actual=name,
                )
