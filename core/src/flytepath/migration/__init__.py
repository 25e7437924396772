"""Moving a code base from flytekit to FlytePath: the table of names, and what rewrites the files.

``names`` is the table as data, ``table`` answers questions about it, ``bindings`` and ``python`` rewrite Python,
``requirements`` and ``notebooks`` the other files, ``tree`` finds and writes files. Only ``bindings`` and ``python``
import libcst, which the extra ``migrate`` brings.
"""
