"""Run as a module in the place of ``ipykernel_launcher``: the same kernel, which throws away no output.

A kernel publishes what cells print whether somebody has read the rest or not, and ZeroMQ drops what is more than a
thousand messages ahead. A notebook that logs much would lose lines, and the message that its cell has ended.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

#: How the command of an IPython kernel names its module, and this one.
THEIRS: Final = ["-m", "ipykernel_launcher"]
_ISOLATED: Final = re.compile("-[a-zA-WYZ]*[EI][a-zA-Z]*")
OURS: Final = ["-m", "flyte_plugin_papermill.launching"]


def lossless(command: list[str]) -> list[str]:
    """``command`` with this module in place of IPython's own; another kernel's command as it is.

    Example:
        >>> lossless(["python", "-m", "ipykernel_launcher", "-f", "k.json"])
        ['python', '-m', 'flyte_plugin_papermill.launching', '-f', 'k.json']
        >>> lossless(["python", "-sE", "-m", "ipykernel_launcher"])
        ['python', '-sE', '-m', 'ipykernel_launcher']
        >>> lossless(["python", "-Xfrozen_modules=off", "-m", "ipykernel_launcher"])[-1]
        'flyte_plugin_papermill.launching'
    """
    for place in range(len(command) - 1):
        # Such a Python would not find this module, which comes by PYTHONPATH.
        isolated = any(_ISOLATED.fullmatch(option) for option in command[1:place])
        if command[place : place + 2] == THEIRS and not isolated:
            return [*command[:place], *OURS, *command[place + 2 :]]
    return command


def launch() -> None:
    """Be the kernel."""
    # The kernel's environment has these; that of whoever checks the types of this package need not.
    zmq, kernelapp = import_module("zmq"), import_module("ipykernel.kernelapp")

    class LosslessApp(kernelapp.IPKernelApp):  # type: ignore[misc,name-defined]
        def init_iopub(self, context: Any) -> None:
            # Sockets that this context makes from now on; only that for outputs sends more than it is asked for.
            context.setsockopt(zmq.SNDHWM, 0)
            super().init_iopub(context)

    LosslessApp.launch_instance()


if __name__ == "__main__":
    # As IPython's own launcher: the folder of the kernel is put back once its libraries are there.
    if sys.path[0] == "" or Path(sys.path[0]) == Path.cwd():
        del sys.path[0]
    launch()
