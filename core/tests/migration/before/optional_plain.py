"""flytekit where it may be missing, with uses that can all be carried over."""

try:
    import flytekit
except ImportError:
    flytekit = None


def context():
    if flytekit is not None: from flytekit.extras.accelerators import T4; return flytekit.current_context(), T4
    return None


class Holder:
    import flytekit.types.file as files

    kind = files.FlyteFile
