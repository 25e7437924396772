"""What a backend has against a task, heard when the task is compiled, before anything runs and nobody is asked."""

from __future__ import annotations

from dataclasses import replace

from flytepath.authoring.call import LOCAL
from flytepath.errors import CompileError, FlytePathError
from flytepath.model.identity import Tenant
from flytepath.model.task import TaskSpec


class BackendRefusalError(CompileError):
    """The backend of a task says that it could never run it so."""

    code = "FP-BACKEND-REFUSAL"


def check_on_backend(task: TaskSpec, tenant: Tenant) -> None:
    """Let the backend that ``task`` runs on look at it, if it wants to.

    Raises:
        BackendRefusalError: it cannot be planned.
        FlytePathError: what else the backend's plugin says.
    """
    if task.backend == LOCAL:
        return
    from flytepath.plugin.manager import current

    manager = current()
    declaration = manager.backend(task.backend).declaration
    if not declaration.check:
        return
    from flytepath.config.settings import load_configuration
    from flytepath.engine.jobs.backends import keys_over, settings_of
    from flytepath.engine.jobs.planning import plan_request
    from flytepath.engine.jobs.worker_launches import placeholder_launch
    from flytepath.plugin.backend import BackendError
    from flytepath.plugin.plans import JobKey, Owner

    lay_over = manager.resolve(declaration.settings_merge) if declaration.settings_merge else keys_over
    settings, _ = settings_of(load_configuration(), task.backend, tenant, declaration.settings_base, lay_over)
    owner = Owner("installation", tenant, "execution", "n0")
    request = plan_request(task, JobKey("sha256:" + "0" * 64), owner, (task.requests, task.limits))
    if task.body.needs_worker:
        request = replace(request, worker=placeholder_launch(task))
    try:
        manager.resolve(declaration.check)(request, settings)
    except BackendError as error:
        raise BackendRefusalError(
            f"backend {task.backend!r} cannot run {task.name}: {error.message}",
            place=error.place or task.name,
            expected=error.expected,
            actual=error.actual,
            hint=error.hint,
        ) from error
    except FlytePathError as error:
        error.place = error.place or task.name
        raise
