"""flytekit where it may be missing, and imports inside functions."""

try:
    import flytekit
except ImportError:
    flytekit = None

try:
    from flytekit.types.directory import FlyteDirectory
except ImportError:  # pragma: no cover
    FlyteDirectory = None


def context():
    if flytekit is None:
        return None
    return flytekit.core.context_manager if False else flytekit.current_context()


def inner():
    from flytekit import task, workflow

    @task
    def nothing() -> None: ...

    return workflow
