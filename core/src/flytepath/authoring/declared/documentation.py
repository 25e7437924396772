"""What an author says about a workflow, a task or a launch plan, for people."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from flytepath.errors import DefinitionError
from flytepath.model.declared import Declared, need_instance, need_optional_text, set_field

_SHORT = 255


class DescriptionFormat(enum.IntEnum):
    """The markup of a description."""

    UNKNOWN = 0
    MARKDOWN = 1
    HTML = 2
    RST = 3


@dataclass(frozen=True, slots=True)
class Description(Declared):
    """A long text, here or elsewhere.

    Args:
        value: the text itself.
        uri: where the text is kept instead.
        icon_link: a picture that goes with it.
        format: the text's markup.

    Raises:
        DefinitionError: both a value and a URI, or an argument of the wrong kind.

    Example:
        >>> Description(value="Trains *one* model.", format=Description.DescriptionFormat.MARKDOWN).to_json()
        {'value': 'Trains *one* model.', 'format': 1}
    """

    DescriptionFormat: ClassVar[type[DescriptionFormat]] = DescriptionFormat

    value: str | None = None
    uri: str | None = None
    icon_link: str | None = None
    format: int = DescriptionFormat.RST

    def __post_init__(self) -> None:
        for name in ("value", "uri", "icon_link"):
            need_optional_text(getattr(self, name), f"Description({name})")
        if self.value is not None and self.uri is not None:
            raise DefinitionError(
                "a description is a text or the URI of one", place="Description()", actual="both value and uri"
            )
        try:
            set_field(self, "format", type(self).DescriptionFormat(self.format))
        except ValueError as error:
            raise DefinitionError(
                "the format of a description is one of Description.DescriptionFormat",
                place="Description(format)",
                expected="UNKNOWN, MARKDOWN, HTML or RST",
                actual=repr(self.format),
            ) from error


@dataclass(frozen=True, slots=True)
class SourceCode(Declared):
    """Where the code can be read.

    Example:
        >>> SourceCode(link="https://example.com/pipelines/blob/main/train.py").to_json()
        {'link': 'https://example.com/pipelines/blob/main/train.py'}
    """

    link: str | None = None

    def __post_init__(self) -> None:
        need_optional_text(self.link, "SourceCode(link)")


@dataclass(frozen=True, slots=True)
class Documentation(Declared):
    """What is shown about an entity, instead of its docstring.

    Args:
        short_description: one line, at most 255 characters.
        long_description: everything else; text is taken as a :class:`Description`.
        source_code: where the code can be read.

    Raises:
        DefinitionError: an argument of the wrong kind, or a short description that is long.

    Example:
        >>> Documentation(short_description="Trains the model", source_code=SourceCode("https://example.com")).to_json()
        {'short_description': 'Trains the model', 'source_code': {'link': 'https://example.com'}}
    """

    short_description: str | None = None
    long_description: Description | str | None = None
    source_code: SourceCode | None = None

    def __post_init__(self) -> None:
        short = need_optional_text(self.short_description, "Documentation(short_description)")
        if short is not None and len(short) > _SHORT:
            raise DefinitionError(
                "the short description is long",
                place="Documentation(short_description)",
                expected=f"at most {_SHORT} characters",
                actual=f"{len(short)} characters",
                hint="put the rest into long_description",
            )
        if isinstance(self.long_description, str):
            set_field(self, "long_description", Description(value=self.long_description))
        need_instance(self.long_description, Description, "Documentation(long_description)")
        need_instance(self.source_code, SourceCode, "Documentation(source_code)")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of ``to_json``."""
        known = dict(data)
        if isinstance(known.get("long_description"), Mapping):
            known["long_description"] = Description.from_json(known["long_description"])
        if isinstance(known.get("source_code"), Mapping):
            known["source_code"] = SourceCode.from_json(known["source_code"])
        return super(Documentation, cls).from_json(known)
