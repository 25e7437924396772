"""Large values on their way in and out of the log: payloads over the inline limit lie in the blob store.

The rows themselves are written with the events (:mod:`flytepath.store.log`). A worker does this part, so nothing here
needs a database.
"""

from __future__ import annotations

from flytepath.model.literal import INLINE_LIMIT, JSON_FORMAT, Literal, canonical_json
from flytepath.plugin.transformer import BlobSink, BlobSource


def offload(literal: Literal, sink: BlobSink) -> Literal:
    """``literal`` as it may lie in the log: a payload over the limit goes to ``sink``, a small one stays.

    Example:
        >>> import tempfile
        >>> from flytepath.model.types import STRING
        >>> from flytepath.store.blobs import BlobFolder
        >>> with tempfile.TemporaryDirectory() as root:
        ...     blobs = BlobFolder(root, "default", "development")
        ...     large = Literal.make(STRING, "x" * 100_000)
        ...     stored = offload(large, blobs)
        ...     stored.is_offloaded, stored.digest == large.digest, inline(stored, blobs) == large
        (True, True, True)
    """
    if literal.format != JSON_FORMAT or literal.ref is not None:
        return literal
    payload = canonical_json(literal.data)
    return literal if len(payload) <= INLINE_LIMIT else literal.offloaded(sink.put(payload))


def inline(literal: Literal, source: BlobSource) -> Literal:
    """The inverse of :func:`offload`; a literal that was never offloaded is returned as it is."""
    if not literal.is_offloaded or literal.ref is None:
        return literal
    return literal.inlined(source.get(literal.ref))
