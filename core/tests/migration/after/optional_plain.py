"""flytekit where it may be missing, with uses that can all be carried over."""

try:
    import flytepath as flytekit
except ImportError:
    flytekit = None


def context():
    if flytekit is not None: from flytepath import T4; return flytekit.current_context(), T4
    return None


class Holder:
    import flytepath as files

    kind = files.FlyteFile
