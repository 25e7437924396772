"""The program of a Spark driver in a pod: it turns into the worker, which finds the driver's Java in its environment.

``spark-submit`` is given this file and the worker's command: ``spark-submit spark_driver.py python -m ...``. An image
that installs this plugin has it as ``bin/flytepath-spark-driver.py``.
"""

from __future__ import annotations

import os
import sys


def main(words: list[str]) -> None:
    """Become the program that ``words`` say; ``python`` is the interpreter that runs this."""
    if not words:
        sys.exit("spark_driver.py: what to run is missing")
    program = sys.executable if words[0] == "python" else words[0]
    # In place of this process, not below it: its end is the driver's, with the same exit code.
    os.execvp(program, [program, *words[1:]])


if __name__ == "__main__":
    main(sys.argv[1:])
