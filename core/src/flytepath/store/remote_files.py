"""Files elsewhere: the file system that fsspec knows for a URL, or what is missing to reach it."""

from __future__ import annotations

from typing import Any

from flytepath.errors import FlytePathError


def files_at(url: str, what: str, error: type[FlytePathError]) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Args:
        url: the place.
        what: what is to be kept there, for people.
        error: raised where fsspec does not know the scheme.
    """
    import fsspec  # type: ignore[import-untyped]

    try:
        files, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as cause:
        raise error(
            f"{what} cannot be kept there",
            place=url,
            expected="a folder, or a URL whose scheme fsspec knows",
            actual=str(cause),
            hint="install the package that brings this scheme (s3fs, gcsfs, adlfs, ...)",
        ) from cause
    return files, str(root)
