"""Containers as tasks: any image, any language; files carry values in and out.

    flytepath run examples/containers.py geometry

What it shows:

- ``ContainerTask``: inputs are files in ``/var/inputs``, or text in the command; outputs are files in ``/var/outputs``;
- a container between Python tasks, typed like them.

It needs ``docker`` or ``podman`` on this machine.
"""

from __future__ import annotations

from flytepath import ContainerTask, kwtypes, task, workflow

area = ContainerTask(
    name="area",
    image="alpine:3.20",
    command=["sh", "-c", "echo $(( $0 * $1 )) > /var/outputs/area", "{{.inputs.a}}", "{{.inputs.b}}"],
    inputs=kwtypes(a=int, b=int),
    outputs=kwtypes(area=int),
)


@task
def describe(area: int) -> str:
    """Back in Python."""
    return f"{area} square metres"


@workflow
def geometry(a: int = 6, b: int = 7) -> str:
    """A shell in a container multiplies."""
    return describe(area=area(a=a, b=b))
