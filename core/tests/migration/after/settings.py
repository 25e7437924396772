"""Accelerators, caching, secrets, schedules and decks."""

import flytepath
from flytepath import Cache, Deck, Email, FixedRate, HashMethod, PodTemplate, Secret
from flytepath import PagerDuty, Slack
from flytepath import MarkdownRenderer, TopFrameRenderer
from flytepath import A100, GPUAccelerator, T4
from flytepath import SQLite3Config, SQLite3Task
from flytepath import OutputLocation, ShellTask
from flytepath import ImageSpec
from flytepath import Secret as OldSecret
from flytepath import FileSensor

GPU = flytepath.V100

SHELL = ShellTask(
    name="count",
    script="wc -l {inputs.path} > {outputs.o}",
    inputs=flytepath.kwtypes(path=str),
    output_locs=[OutputLocation(var="o", var_type=flytepath.FlyteFile, location="/tmp/count")],
)
