"""Where things are kept: the event log and what lies beside it, blobs, and registered versions.

:func:`flytepath.store.events.open_store` is the door to the database of a home, and
:class:`flytepath.store.blobs.BlobFolder` the one to its blobs. Importing this package imports neither.
"""
