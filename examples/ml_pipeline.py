"""A model, end to end: train candidates side by side, keep the best if it is good enough, and show why.

    flytepath run examples/ml_pipeline.py tumours
    flytepath run examples/ml_pipeline.py tumours --good-enough 0.999
    flytepath executions deck ID --to decks

What it shows:

- ``map_task`` with a bound frame: a candidate each, side by side, tried again by themselves;
- ``conditional`` on what the tasks found: the second command takes the other branch;
- a model as a typed file, ``JoblibSerializedFile``, kept by its content;
- a deck with all candidates.

The data are the 569 tumours of the Wisconsin breast cancer set that scikit-learn brings along.
Needs ``pip install 'flytepath[quickstart]'``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pandas as pd
from flytepath import (
    Cache,
    Deck,
    JoblibSerializedFile,
    MarkdownRenderer,
    TableRenderer,
    conditional,
    map_task,
    task,
    workflow,
)


@dataclass(frozen=True)
class Candidate:
    """A neighbourhood that was tried, and its accuracy in cross-validation."""

    neighbours: int
    accuracy: float


@task(cache=Cache(version="1"))
def load() -> pd.DataFrame:
    """The measurements, and for each tumour whether it is benign."""
    from sklearn.datasets import load_breast_cancer

    frame: pd.DataFrame = load_breast_cancer(as_frame=True).frame
    return frame.rename(columns={"target": "benign"})


@task(retries=1)
def try_out(neighbours: int, frame: pd.DataFrame) -> Candidate:
    """Five-fold cross-validation of one candidate."""
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), KNeighborsClassifier(neighbours))
    scores = cross_val_score(model, frame.drop(columns="benign"), frame["benign"])
    return Candidate(neighbours, round(float(scores.mean()), 4))


@task(enable_deck=True)
def choose(candidates: list[Candidate]) -> Candidate:
    """The most accurate; its deck shows them all."""
    best = max(candidates, key=lambda candidate: candidate.accuracy)
    deck = Deck("candidates", MarkdownRenderer().to_html(f"**{best.neighbours} neighbours** are best."))
    deck.append(TableRenderer().to_html(pd.DataFrame([vars(candidate) for candidate in candidates])))
    return best


@task
def keep(frame: pd.DataFrame, best: Candidate) -> JoblibSerializedFile:
    """The best, trained on everything."""
    import joblib
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), KNeighborsClassifier(best.neighbours))
    model.fit(frame.drop(columns="benign"), frame["benign"])
    file = JoblibSerializedFile.new("model.joblib")
    joblib.dump(model, file.path)
    return file


@task
def check(model: JoblibSerializedFile, frame: pd.DataFrame) -> str:
    """The model that was kept can be used."""
    import joblib

    accuracy = joblib.load(model.download()).score(frame.drop(columns="benign"), frame["benign"])
    return f"kept a model that is right about {accuracy:.1%} of what it has seen"


@task
def reject(best: Candidate) -> str:
    """Nothing is kept."""
    return f"{best.accuracy:.1%} is not good enough"


@workflow
def tumours(neighbours: list[int] = [1, 5, 15, 45], good_enough: float = 0.95) -> str:  # noqa: B006 - never changed
    """Try all, choose one, keep it if it is good enough."""
    frame = load()
    candidates = map_task(partial(try_out, frame=frame), concurrency=2)(neighbours=neighbours)
    best = choose(candidates=candidates)
    return (
        conditional("good enough?")
        .if_(best.accuracy >= good_enough)
        .then(check(model=keep(frame=frame, best=best), frame=frame))
        .else_()
        .then(reject(best=best))
    )
