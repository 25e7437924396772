"""A kind of task of your own: a class whose ``execute`` does the work, made once for every use of it.

    flytepath run examples/own_task.py checked

What it shows:

- a subclass of ``PythonInstanceTask`` with inputs and outputs that depend on how it was made;
- it takes the settings of ``@task``, stands in workflows, and is found by a worker as a module variable.
"""

from __future__ import annotations

import re
from typing import Any

from flytepath import PythonInstanceTask, kwtypes, workflow


class Match(PythonInstanceTask):
    """Takes texts apart by a regular expression; its outputs are the named groups."""

    def __init__(self, name: str, pattern: str, **settings: Any) -> None:
        self.pattern = re.compile(pattern)
        groups = kwtypes(**dict.fromkeys(self.pattern.groupindex, str))
        super().__init__(name=name, inputs=kwtypes(text=str), outputs=groups, **settings)

    def execute(self, **inputs: Any) -> tuple[str, ...]:
        """The groups in order."""
        found = self.pattern.fullmatch(inputs["text"])
        if found is None:
            raise ValueError(f"{inputs['text']!r} is not like {self.pattern.pattern!r}")
        return tuple(found[name] for name in self.outputs)


parts = Match("parts", r"(?P<project>[\w-]+)==(?P<version>[\d.]+)", retries=1)


@workflow
def checked(text: str = "scikit-learn==1.5.2") -> tuple[str, str]:
    """A requirement's project and version."""
    project, version = parts(text=text)
    return project, version
