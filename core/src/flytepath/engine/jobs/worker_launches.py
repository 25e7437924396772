"""What a worker elsewhere is started with: its attempts and their code as blobs, and the command that names them."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from flytepath.bundle import unpacked
from flytepath.config import blob_root
from flytepath.engine.local.places import outcome_place, shelf_of
from flytepath.engine.outage import in_one_line
from flytepath.errors import ConfigError, FlytePathError, StoreError, StoreUnavailableError
from flytepath.model.facts import Blob
from flytepath.model.literal import BlobRef
from flytepath.model.messages import PROTOCOL_VERSION, AttemptFacts, RemoteAttempts, RunAttempt
from flytepath.model.task import TaskSpec
from flytepath.plugin.plans import WorkerLaunch
from flytepath.store.blobs import BlobFolder

#: No file in an archive is older, and none need be younger: the same code is the same archive.
_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)
_KEPT: Final = 64


class WorkerLaunches:
    """Makes launches.

    Args:
        home: where bundles lie unpacked, and by whose configuration blobs are kept.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._bundles: dict[tuple[str, str], Blob] = {}
        self._lock = threading.Lock()

    def of(self, requests: Sequence[RunAttempt]) -> WorkerLaunch:
        """The launch of attempts of one task, that of a node or those of a slice. Blocks: it writes blobs.

        Done twice for the same attempts it gives the same.

        Raises:
            StoreUnavailableError: the blobs cannot be written now.
            ConfigError: the storage refuses this engine; waiting does not mend that.
            StoreError: the code is gone.
        """
        task = requests[0].task
        code = str(unpacked(task.bundle, self._home)) if task.bundle else requests[0].code_path
        try:
            return self._written(requests, code)
        except Exception as error:  # of whatever client the storage has
            if isinstance(error, FlytePathError) and not isinstance(error, StoreError):
                raise
            what = f"what a worker needs cannot be written to {blob_root(self._home)}: {in_one_line(error)}"
            if _is_refusal(error):
                raise ConfigError(
                    what,
                    place="[store] blobs",
                    hint="give the engine credentials that may write there, as the storage's client finds them",
                ) from error
            raise StoreUnavailableError(what, hint="it is tried again until it can") from error

    def _written(self, requests: Sequence[RunAttempt], code: str) -> WorkerLaunch:
        first, task = requests[0], requests[0].task
        root = blob_root(self._home)
        blobs = BlobFolder(root, first.project, first.domain)
        bundle = self._bundle(code, blobs, f"{root}/{first.project}/{first.domain}") if code else None
        attempts = RemoteAttempts(
            protocol=PROTOCOL_VERSION,
            project=first.project,
            domain=first.domain,
            blob_root=root,
            bundle=bundle,
            task=task,
            attempts=tuple(_elsewhere(request) for request in requests),
            outcomes=tuple(outcome_place(shelf_of(request), request.node, request.attempt) for request in requests),
        )
        blob = blobs.put(attempts.model_dump_json(exclude_defaults=True).encode())
        return WorkerLaunch(
            argv=("python", "-m", "flytepath.worker", "--attempt", blob.uri),
            env=dict(task.variables),
            image=image_of(task.environment),
            bundle=None if bundle is None else BlobRef(bundle.uri, bundle.digest, bundle.size),
            inputs_uri=blob.uri,
            outputs_prefix=shelf_of(first),
        )

    def _bundle(self, code: str, blobs: BlobFolder, place: str) -> Blob:
        """The folder of a bundle as one file."""
        with self._lock:
            known = self._bundles.get((code, place))
            if known is None:
                with TemporaryDirectory(prefix="flytepath-bundle-") as scratch:
                    archive = Path(scratch) / "code.zip"
                    _archive(Path(code), archive)
                    known = Blob.of(blobs.put_file(archive))
                if len(self._bundles) >= _KEPT:
                    del self._bundles[next(iter(self._bundles))]
                self._bundles[code, place] = known
            return known


def _is_refusal(error: BaseException | None) -> bool:
    """Whether a storage was reached, or need not be, to know that this process may not write to it."""
    while error is not None:
        # The clients' own errors have no base in common; those for want of credentials are called alike.
        if isinstance(error, PermissionError) or type(error).__name__.endswith("CredentialsError"):
            return True
        error = error.__cause__ or error.__context__
    return False


def placeholder_launch(task: TaskSpec) -> WorkerLaunch:
    """A launch of the shape of a real one, for whoever wants to see a plan before there is anything to run."""
    return WorkerLaunch(
        argv=("python", "-m", "flytepath.worker", "--attempt", "<attempt>"),
        env=dict(task.variables),
        image=image_of(task.environment),
        bundle=None,
        inputs_uri="<attempt>",
        outputs_prefix="<outputs>",
    )


def image_of(environment: Any) -> str:
    """The container image that a task names; empty where it names none.

    Of a description (``ImageSpec``) it is the name under which a registry holds what was built of it.

    Example:
        >>> image_of("ghcr.io/acme/train:3"), image_of(None)
        ('ghcr.io/acme/train:3', '')
        >>> image_of({"packages": ["pandas"], "image": "ghcr.io/acme/flytepath:1f0"})
        'ghcr.io/acme/flytepath:1f0'
    """
    if isinstance(environment, str):
        return environment
    return str(environment.get("image", "")) if environment else ""


def _elsewhere(request: RunAttempt) -> AttemptFacts:
    """The attempt without what is only of this machine."""
    facts = {name: getattr(request, name) for name in AttemptFacts.model_fields}
    return AttemptFacts.model_construct(**{**facts, "working_directory": "", "log_path": ""})


def _archive(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _LONG_AGO)
            info.external_attr = (0o755 if os.access(path, os.X_OK) else 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, path.read_bytes())
