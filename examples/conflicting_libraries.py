"""Two tasks of one workflow, with two versions of one library that cannot be installed together.

    flytepath run examples/conflicting_libraries.py compare --text "to be or not to be"
    flytepath environments list

What it shows:

- ``ImageSpec(packages=[...])`` as ``container_image``: the task gets an environment of its own, made when it first runs
  and kept for all who ask for the same;
- in a task's environment is what it asks for, and flytepath itself; nothing else of what is installed here;
- ``pip_extra_args``: more words for the installer, here where to look instead of an index;
- ``flytepath environments`` shows what was made.

So that it runs without a network, it writes its library ``words`` itself, as two wheels of a few lines. Usually
``packages=["scikit-learn==1.5.2"]`` is all there is to say. A direct call of ``compare`` cannot work: it runs in one
process, which has no ``words``.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

from flytepath import ImageSpec, task, workflow

COUNTS = {"1.0": "len(text.split())", "2.0": "len(set(text.split()))"}


def wheels() -> Path:
    """A folder with the library in both versions, as an index would offer them."""
    folder = Path(tempfile.gettempdir()) / f"flytepath-example-wheels-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for version, counted in COUNTS.items():
        path, about = folder / f"words-{version}-py3-none-any.whl", f"words-{version}.dist-info"
        if path.exists():
            continue
        draft = folder / f".{version}-{os.getpid()}"
        with zipfile.ZipFile(draft, "w") as wheel:
            wheel.writestr("words.py", f"def count(text):\n    return {counted}\n")
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: words\nVersion: {version}\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", f"words.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")
        draft.rename(path)
    return folder


offline = f"--no-index --find-links {wheels()}"
first = ImageSpec(packages=["words==1.0"], pip_extra_args=offline)
second = ImageSpec(packages=["words==2.0"], pip_extra_args=offline)


@task(container_image=first)
def all_words(text: str) -> int:
    """Version 1 counts every word."""
    import words

    return words.count(text)


@task(container_image=second)
def different_words(text: str) -> int:
    """Version 2 counts a word once."""
    import words

    return words.count(text)


@workflow
def compare(text: str = "to be or not to be") -> tuple[int, int]:
    """Both in one workflow."""
    return all_words(text=text), different_words(text=text)
