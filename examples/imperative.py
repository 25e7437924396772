"""A workflow that is put together by calls: for code that makes workflows, from a configuration for example.

    flytepath run examples/imperative.py tour --pace 3.0
    flytepath run examples/imperative.py stroll

What it shows:

- ``ImperativeWorkflow``, also called ``Workflow``: inputs, entities and outputs are added one by one;
- a node's output, ``node.outputs["o0"]``, and a list of them;
- a launch plan gives the input a default, which such a workflow cannot have of its own.

It is checked like any other workflow, at its first call or when it is run or registered.
"""

from __future__ import annotations

from flytepath import ImperativeWorkflow, LaunchPlan, task

#: What a configuration might hold: kilometres to the next hut.
LEGS = {"Gjendesheim": 14.0, "Memurubu": 10.0, "Gjendebu": 17.0}


@task
def hours(kilometres: float, pace: float) -> float:
    """How long a leg takes."""
    return kilometres / pace


@task
def total(legs: list[float]) -> float:
    """All of them."""
    return round(sum(legs), 2)


def walk(name: str, legs: dict[str, float]) -> ImperativeWorkflow:
    """A workflow with a node for every leg."""
    made = ImperativeWorkflow(name)
    pace = made.add_workflow_input("pace", float)
    nodes = [made.add_entity(hours, kilometres=length, pace=pace) for length in legs.values()]
    made.add_workflow_output("hours", made.add_entity(total, legs=[node.outputs["o0"] for node in nodes]).outputs["o0"])
    return made


tour = walk("tour", LEGS)
stroll = LaunchPlan.get_or_create(tour, "stroll", default_inputs={"pace": 4.0})
