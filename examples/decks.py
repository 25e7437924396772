"""Decks: what a task shows to people, kept with every attempt, also one that fails.

    flytepath run examples/decks.py report
    flytepath executions deck ID --to decks

What it shows:

- ``enable_deck=True``: inputs, outputs, source code, dependencies and timeline without a line of your own;
- a renderer beside a type, ``Annotated[..., TopFrameRenderer(3)]``, decides how that value is shown;
- decks of your own, which grow with ``append``, from Markdown, frames and figures;
- ``timeit`` for steps worth timing.

The data are the planets of the solar system, from NASA's planetary fact sheet.
"""

from __future__ import annotations

from typing import Annotated

import pandas as pd
from flytepath import BoxRenderer, Deck, MarkdownRenderer, TopFrameRenderer, task, timeit, workflow

PLANETS = {
    "name": ["Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"],
    "diameter_km": [4879, 12104, 12756, 6792, 142984, 120536, 51118, 49528],
    "day_hours": [4222.6, 2802.0, 24.0, 24.7, 9.9, 10.7, 17.2, 16.1],
    "moons": [0, 0, 1, 2, 95, 146, 28, 16],
}


@task(enable_deck=True)
def planets() -> Annotated[pd.DataFrame, TopFrameRenderer(max_rows=3)]:
    """The planets, from the sun outwards."""
    return pd.DataFrame(PLANETS)


@task(enable_deck=True)
def largest(frame: pd.DataFrame, moons: int) -> str:
    """The largest planet with at least some moons."""
    with timeit("choose"):
        candidates = frame[frame["moons"] >= moons].sort_values("diameter_km", ascending=False)
    name = str(candidates["name"].iloc[0])

    deck = Deck("Planets", MarkdownRenderer().to_html(f"The largest of **{len(candidates)}** candidates is *{name}*."))
    deck.append(TopFrameRenderer().to_html(candidates))
    deck.append(BoxRenderer("day_hours").to_html(frame))
    return name


@workflow
def report(moons: int = 1) -> str:
    """Find the largest planet, and show how."""
    return largest(frame=planets(), moons=moons)
