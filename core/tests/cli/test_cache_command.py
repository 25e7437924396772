"""``flytepath cache``: what a terminal shows of it."""

from __future__ import annotations

import json

from conftest import CommandLine

FLOW = """
    from flytepath import task, workflow

    @task(cache=True, cache_version="1")
    def double(x: int) -> int:
        return 2 * x

    @workflow
    def wf(x: int) -> int:
        return double(x=x)
"""


def test_a_run_is_explained_listed_and_dropped(cli: CommandLine) -> None:
    cli.write("flow.py", FLOW)
    assert "nothing is cached" in cli.run("cache", "list").stderr
    first, second = (json.loads(cli.run("run", "--json", "flow.py", "wf", "--x", x).stdout)["id"] for x in "34")
    text = cli.run("cache", "explain", second, "n0").stdout
    assert "n0 flow.double: miss\n" in text
    assert f"result    {first} n0" in text
    assert "differs   input x\n  here    4 [" in text
    assert json.loads(cli.run("cache", "explain", first, "n0", "--json").stdout)["verdict"] == "miss"
    assert "no node 'n7'" in cli.run("cache", "explain", first, "n7", status=2).stderr
    assert "flow.double(x=3)  version 1" in cli.run("cache", "list", "--task", "double").stdout
    assert cli.run("cache", "clear", "--older-than", "1h").stdout == "dropped 0 results\n"
    assert "holds nothing of a task triple" in cli.run("cache", "clear", "--task", "triple", status=2).stderr
    assert json.loads(cli.run("cache", "clear", "--json").stdout) == {"dropped": 2}
