"""Which of three models tells wines apart best, on scikit-learn's 178 wines, with a notebook as the report.

    flytepath run wine.py choose

What it shows:

- a notebook as a task: a frame goes in by reference, typed outputs come back;
- the executed notebook and its page as values of the workflow, and as the deck of the run;
- one notebook mapped over many inputs (``choose_for_each``).

``candidates.ipynb`` also runs by hand, in Jupyter, with a CSV file in place of the frame.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from flyte_plugin_papermill import NotebookTask
from flytepath import FlyteFile, kwtypes, map_task, task, workflow

MODELS = ("nearest neighbours", "naive Bayes", "logistic regression")

report = NotebookTask(
    name="wine.report",
    notebook_path="candidates.ipynb",
    inputs=kwtypes(scores=pd.DataFrame, title=str),
    outputs=kwtypes(best=str, accuracy=float),
    execution_timeout=300,
)
verdict = NotebookTask(
    name="wine.verdict",
    notebook_path="candidates.ipynb",
    inputs=kwtypes(scores=pd.DataFrame, title=str),
    outputs=kwtypes(best=str, accuracy=float),
    output_notebooks=False,
)


class Choice(NamedTuple):
    """The best model, how accurate it was, and the report as a page."""

    best: str
    accuracy: float
    page: FlyteFile


@task
def compare(folds: int) -> pd.DataFrame:
    """The cross-validated accuracy of each model."""
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    wines, kinds = load_wine(return_X_y=True)
    rows = []
    for name, model in zip(MODELS, (KNeighborsClassifier(), GaussianNB(), LogisticRegression()), strict=True):
        scores = cross_val_score(make_pipeline(StandardScaler(), model), wines, kinds, cv=folds)
        rows.append({"candidate": name, "accuracy": float(scores.mean()), "spread": float(scores.std())})
    return pd.DataFrame(rows)


@task
def names(best: list[str], accuracy: list[float]) -> list[str]:
    """The best models, and how accurate they were."""
    return [f"{name}: {value:.2f}" for name, value in zip(best, accuracy, strict=True)]


@workflow
def choose(folds: int = 5) -> Choice:
    """Compare the models, and let the notebook report."""
    best, accuracy, _, page = report(scores=compare(folds=folds), title="Wines")
    return Choice(best, accuracy, page)


@workflow
def choose_for_each(folds: list[int]) -> list[str]:
    """The same for several numbers of folds: one notebook, run once for each."""
    titles = ["Wines"] * 2
    best, accuracy = map_task(verdict)(scores=map_task(compare)(folds=folds), title=titles)
    return names(best=best, accuracy=accuracy)
