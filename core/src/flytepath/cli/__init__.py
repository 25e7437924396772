"""The command line, one file per group of commands. It speaks to the platform only through ``flytepath.client``."""

from __future__ import annotations


def main() -> None:
    """The ``flytepath`` command."""
    from flytepath.cli.root import run_command_line

    run_command_line()
