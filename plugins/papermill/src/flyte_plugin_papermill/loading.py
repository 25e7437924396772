"""What a notebook calls to open inputs that came by reference: files, directories, frames and everything exact.

A reference is text, so that the cell with the parameters can hold it. Outside a task a path stands in its place, and a
notebook runs by hand as it does in a workflow.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flyte_plugin_papermill.exchange import SUFFIX, is_dataset, read_value


def load_file(reference: str | os.PathLike[str]) -> Path:
    """The input file, on this machine.

    Args:
        reference: the parameter. Run by hand, the path of a file.

    Raises:
        FileNotFoundError: there is no such file.

    Example:
        >>> load_file(__file__).name
        'loading.py'
    """
    path = Path(os.fspath(reference))
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; load_file takes the parameter of an input that is a file")
    return path


def load_dir(reference: str | os.PathLike[str]) -> Path:
    """The input directory, on this machine, with all its files.

    Args:
        reference: the parameter. Run by hand, the path of a directory.

    Raises:
        NotADirectoryError: there is no such directory.

    Example:
        >>> (load_dir(Path(__file__).parent) / "loading.py").exists()
        True
    """
    path = Path(os.fspath(reference))
    if not path.is_dir():
        raise NotADirectoryError(
            f"there is no directory {path}; load_dir takes the parameter of an input that is a directory"
        )
    return path


def load_dataframe(reference: str | os.PathLike[str], frame_type: type[Any] | None = None) -> Any:
    """The input frame, exactly as the task got it.

    Args:
        reference: the parameter. Run by hand, the path of a Parquet, CSV or JSON file, which pandas reads.
        frame_type: the class to have it as, for example ``polars.DataFrame``; by default that of the input,
            and of a ``StructuredDataset`` pandas'.

    Raises:
        FileNotFoundError: there is no such frame.
        ValueError: the file is of a kind that is not known.
    """
    path = Path(os.fspath(reference))
    if not path.exists():
        raise FileNotFoundError(f"there is no frame {path}; load_dataframe takes the parameter of an input that is one")
    if not path.name.endswith(SUFFIX):
        return _read(path, frame_type)
    if frame_type is None and is_dataset(path):
        from pandas import DataFrame

        frame_type = DataFrame
    return read_value(path, frame_type)


def load_value(reference: str | os.PathLike[str], python_type: Any = None) -> Any:
    """The input, where it is no plain JSON: a dataclass, an array, a set, bytes, ...

    Args:
        reference: the parameter.
        python_type: what it is declared as; by default the class of the value itself.

    Raises:
        FileNotFoundError: this is no reference to a value.
        ImportError: its class cannot be imported in this kernel.
    """
    path = Path(os.fspath(reference))
    if not path.name.endswith(SUFFIX) or not path.exists():
        raise FileNotFoundError(f"{reference!r} is no reference to a value; a task gives them to its notebook")
    return read_value(path, python_type)


def _read(path: Path, frame_type: type[Any] | None) -> Any:
    library = "pandas" if frame_type is None else frame_type.__module__.partition(".")[0]
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("parquet", "csv", "json") or library not in ("pandas", "polars"):
        raise ValueError(f"a frame is read from a .parquet, .csv or .json file by pandas or polars, not from {path}")
    module = __import__(library)
    return getattr(module, f"read_{kind}")(path)
