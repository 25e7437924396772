"""Accelerators, caching, secrets, schedules and decks."""

import flytekit
import flytekit.extras.accelerators
from flytekit import Cache, Deck, Email, FixedRate, HashMethod, PodTemplate, Secret
from flytekit.core.notification import PagerDuty, Slack
from flytekit.deck import MarkdownRenderer, TopFrameRenderer
from flytekit.extras.accelerators import A100, GPUAccelerator, T4
from flytekit.extras.sqlite3.task import SQLite3Config, SQLite3Task
from flytekit.extras.tasks.shell import OutputLocation, ShellTask
from flytekit.image_spec.image_spec import ImageSpec
from flytekit.models.security import Secret as OldSecret
from flytekit.sensor.file_sensor import FileSensor

GPU = flytekit.extras.accelerators.V100

SHELL = ShellTask(
    name="count",
    script="wc -l {inputs.path} > {outputs.o}",
    inputs=flytekit.kwtypes(path=str),
    output_locs=[OutputLocation(var="o", var_type=flytekit.types.file.FlyteFile, location="/tmp/count")],
)
