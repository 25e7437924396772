"""What a task needs: processors and memory, an accelerator, an image, a pod.

    flytepath run examples/resources.py train

What it shows:

- ``Resources``: what is requested and what is the limit, or both at once as pairs;
- an accelerator by name, ``A100.partition_2g_10gb`` for a slice of one;
- ``ImageSpec``: what the task's image contains; ``conflicting_libraries.py`` shows what this machine makes of packages;
- ``PodTemplate``: what a cluster's pod looks like beside that.

On this machine these are recorded with every run and not enforced; backends of a cluster act on them. Each is checked
in the line where it is written: ``Resources(mem="2 gigs")`` does not get further than that.
"""

from __future__ import annotations

from flytepath import A100, ImageSpec, PodTemplate, Resources, task, workflow

image = ImageSpec(name="trainer", apt_packages=["libgomp1"], cuda="12.4", env={"OMP_NUM_THREADS": "2"})
pod = PodTemplate(
    pod_spec={"containers": [{"name": "primary"}], "nodeSelector": {"disk": "ssd"}}, labels={"team": "garden"}
)


@task(requests=Resources(cpu="500m", mem="256Mi"), limits=Resources(cpu="1", mem="512Mi"), pod_template=pod)
def prepare(rows: int) -> list[float]:
    """A little work."""
    return [row / rows for row in range(rows)]


@task(resources=Resources(cpu=("2", "4"), mem="2Gi", gpu=1), accelerator=A100.partition_2g_10gb, container_image=image)
def fit(values: list[float]) -> float:
    """Would be more, with a GPU."""
    return sum(values) / len(values)


@workflow
def train(rows: int = 5) -> float:
    """Each task gets what it needs."""
    return fit(values=prepare(rows=rows))
