"""What configuration says about secrets: which schemes are asked, and where those in files lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flytepath.config import candidate_files, setting_variables
from flytepath.model.identity import Tenant

#: Asked one after the other where nothing is configured.
DEFAULT_SCHEMES: Final = ("env", "file")
#: Names the folder of secrets in files; stronger than every file of configuration.
FOLDER_VARIABLE: Final = "FLYTEPATH_SECRETS_FOLDER"
_DEFAULT: Final = "default of secrets.default"


@dataclass(frozen=True, slots=True)
class SecretSources:
    """Where a tenant's secrets are looked for.

    Args:
        schemes: the providers, in the order they are asked.
        folder: that of the scheme ``file``; ``None`` where none is configured.
        place: what names the schemes, for errors.
    """

    schemes: tuple[str, ...] = DEFAULT_SCHEMES
    folder: Path | None = None
    place: str = _DEFAULT


def secret_sources(tenant: Tenant) -> SecretSources:
    """What is configured for a tenant: its domain's word, else its project's, else everybody's.

    Nothing is parsed unless a file or a variable mentions secrets.

    Raises:
        ConfigError: a configuration file or variable is wrong.

    Example:
        >>> secret_sources(Tenant()).schemes
        ('env', 'file')
    """
    named = os.environ.get(FOLDER_VARIABLE)
    folder = _absolute(named) if named else None
    mentioned = any(b"secrets" in item.content for item in candidate_files())
    if not mentioned and not any(
        "__SECRETS" in name.upper() or "secrets" in text for name, text in setting_variables()
    ):
        return SecretSources(folder=folder)
    from flytepath.config.settings import load_configuration

    configuration = load_configuration()
    project = ("projects", tenant.project)
    levels = ((*project, "domains", tenant.domain, "secrets"), (*project, "secrets"), ("secrets",))
    schemes, place = DEFAULT_SCHEMES, _DEFAULT
    for level in levels:
        said = configuration.get(*level, "default")
        if said is not None:
            schemes, place = tuple(said), configuration.place(*level, "default")
            break
    for level in () if folder is not None else levels:
        said = configuration.get(*level, "folder")
        if said is not None:
            origin = configuration.origins.get((*level, "folder"), "")
            beside = Path(origin).parent if Path(origin).is_absolute() else Path()
            folder = _absolute(str(said), beside)
            break
    return SecretSources(schemes, folder, place)


def _absolute(folder: str, beside: Path = Path()) -> Path:
    """A folder as it was written: below the home of the user, or beside the file that says it."""
    return Path(os.path.abspath(beside / os.path.expanduser(folder)))  # noqa: PTH100, PTH111
