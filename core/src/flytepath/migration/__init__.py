"""Moving a code base from flytekit to FlytePath: the table of names, and what rewrites the files.

``names`` is the table as data, ``table`` answers questions about it. Of a Python module ``reading`` gathers facts,
``groups`` decides, ``python`` edits and ``imports`` prints statements; ``requirements`` and ``notebooks`` rewrite other
files, ``tree`` finds and writes them all. What reads Python needs libcst, which the extra ``migrate`` brings.
"""
