"""What a backend gives as outputs of a job: taken over only if it is what the task declares, large values as blobs."""

from __future__ import annotations

from collections.abc import Mapping

from flytepath.errors import FlytePathError
from flytepath.model.literal import JSON_FORMAT, Literal, cast
from flytepath.model.payload import misfit
from flytepath.model.task import Interface
from flytepath.plugin.backend import BackendError, ErrorClass
from flytepath.plugin.transformer import BlobSink
from flytepath.store.literals import offload


def taken_over(outputs: Mapping[str, Literal], interface: Interface | None, sink: BlobSink) -> dict[str, Literal]:
    """The outputs as they may be kept.

    Args:
        outputs: what the backend gave.
        interface: what the task declares; ``None`` where nobody knows.
        sink: takes large values.

    Raises:
        BackendError: a mistake of the plugin: other names, or values of other types.

    Example:
        >>> from flytepath.model.types import INTEGER
        >>> from flytepath.testing import MemoryBlobs
        >>> taken_over({"o1": Literal.make(INTEGER, 1)}, Interface(), MemoryBlobs())
        Traceback (most recent call last):
        flytepath.plugin.backend.BackendError: [FP-BACKEND] the outputs are o1, the task declares none
    """
    given: object = outputs
    if not isinstance(given, Mapping):
        raise BackendError(f"the outputs are a {type(given).__name__}, no mapping", error_class=ErrorClass.PROTOCOL)
    if interface is None:
        return {name: offload(literal, sink) for name, literal in outputs.items()}
    declared = {variable.name: variable.type for variable in interface.outputs}
    if set(outputs) != set(declared):
        given, wanted = (", ".join(sorted(names)) or "none" for names in (outputs, declared))
        raise BackendError(f"the outputs are {given}, the task declares {wanted}", error_class=ErrorClass.PROTOCOL)
    found: dict[str, Literal] = {}
    for name, t in declared.items():
        literal = outputs[name]
        if not isinstance(literal, Literal):
            raise BackendError(
                f"output {name} is a {type(literal).__name__}, no Literal", error_class=ErrorClass.PROTOCOL
            )
        wrong = misfit(literal.type, literal.data) if literal.format == JSON_FORMAT and literal.ref is None else ""
        if wrong:
            raise BackendError(f"output {name}: {wrong}", error_class=ErrorClass.PROTOCOL)
        try:
            found[name] = offload(cast(literal, t), sink)
        except FlytePathError as error:
            raise BackendError(
                f"output {name} is of type {literal.type}, the task declares {t}: {error.message}",
                error_class=ErrorClass.PROTOCOL,
            ) from error
    return found
