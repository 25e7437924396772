"""``FlytePickle``: pickle where the author asks for it by name."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from flytepath.errors import DefinitionError
from flytepath.plugin.transformer import Converter
from flytepath.types.converter import InPlaceTransformer, type_name
from flytepath.types.embedded import PickleConverter

T = TypeVar("T")

if TYPE_CHECKING:
    FlytePickle = Annotated[T, "pickled"]
else:

    class FlytePickle:
        """Annotate a place with ``FlytePickle[T]`` to have its values, which are plain ``T``, pickled with cloudpickle.

        The values can be read only by the same code, and reading them runs code. The interface records it, a warning
        announces it, and the setting ``types.allow_pickle = false`` forbids it. ``FlytePickle`` alone takes anything.

        Example:
            >>> import fractions
            >>> FlytePickle[fractions.Fraction].python_type()
            <class 'fractions.Fraction'>
        """

        _of: ClassVar[Any] = object
        _known: ClassVar[dict[Any, type]] = {}

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            raise TypeError("FlytePickle is an annotation: pass the value itself")

        def __class_getitem__(cls, item: Any) -> type:
            if item is Any or item is object:
                return FlytePickle
            wanted = typing.get_origin(item) or item
            if not isinstance(wanted, type):
                raise DefinitionError(
                    f"FlytePickle takes a class, not {type_name(item)}", expected="for example FlytePickle[MyModel]"
                )
            known = FlytePickle._known.get(wanted)
            if known is None:
                name = f"FlytePickle[{wanted.__qualname__}]"
                scope = {"_of": wanted, "__module__": cls.__module__, "__qualname__": name}
                known = FlytePickle._known.setdefault(wanted, type(name, (FlytePickle,), scope))
            return known

        @classmethod
        def python_type(cls) -> type:
            """The class of the values."""
            return cls._of


class PickledTransformer(InPlaceTransformer):
    """The types ``FlytePickle`` and ``FlytePickle[T]``: everything is in the fallback's converter."""

    format = "pickle"

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        return PickleConverter(t.python_type())
