"""From data to a chosen model, in a durable run: load, validate, train in parallel, choose, report.

    flytepath run examples/quickstart.py pipeline
    flytepath run examples/quickstart.py pipeline --folds 3

What it shows:

- typed tasks, and a workflow that is compiled to a graph before anything runs;
- a validation with Great Expectations that training has to wait for;
- a plain ``for`` loop that becomes parallel tasks, one for each candidate;
- data classes and data frames that travel between tasks exactly as they are;
- a report that is a notebook: it takes typed inputs, gives a typed output, and is kept and shown as it was executed.

The data are the 569 tumours of the Wisconsin breast cancer set that scikit-learn brings along; nothing is downloaded.
Kill it half-way and continue with ``flytepath executions resume ID``: what has succeeded does not run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from flyte_plugin_greatexpectations import GreatExpectationsTask, ValidationResult, expect
from flyte_plugin_papermill import NotebookTask
from flytepath import kwtypes, task, workflow

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)


@dataclass(frozen=True)
class Candidate:
    """A model that was tried: how it was regularised, and its cross-validated accuracy."""

    strength: float
    accuracy: float
    spread: float


@task
def load() -> pd.DataFrame:
    """The measurements, and for each tumour whether it is benign."""
    from sklearn.datasets import load_breast_cancer

    frame: pd.DataFrame = load_breast_cancer(as_frame=True).frame
    return frame.rename(columns={"target": "benign"})


check = GreatExpectationsTask(
    name="check_tumours",
    expectations=[
        expect("table_row_count_to_be_between", min_value=500),
        expect("column_values_to_be_in_set", column="benign", value_set=[0, 1]),
        expect("column_mean_to_be_between", column="benign", min_value=0.2, max_value=0.8),
        expect("column_values_to_not_be_null", column="mean radius"),
        expect("column_values_to_be_between", column="mean radius", min_value=5, max_value=30),
        expect("column_values_to_be_between", column="mean smoothness", min_value=0, max_value=1),
        expect("column_pair_values_a_to_be_greater_than_b", column_A="worst area", column_B="mean area", or_equal=True),
    ],
    inputs={"frame": pd.DataFrame},
)


@task(retries=1)
def train(frame: pd.DataFrame, checked: ValidationResult, strength: float, folds: int) -> Candidate:
    """Cross-validate one candidate. It takes the validation's result, so it cannot start before the data has passed."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    # The candidates are trained side by side; each keeps to one core.
    with threadpool_limits(limits=1):
        scores = cross_val_score(model, frame.drop(columns="benign"), frame["benign"], cv=folds)
    print(f"strength {strength:g}: accuracy {scores.mean():.4f} on {len(frame)} rows ({checked.summary()})")
    return Candidate(strength=strength, accuracy=float(scores.mean()), spread=float(scores.std()))


@task
def choose(candidates: list[Candidate]) -> Candidate:
    """The most accurate candidate; of equals, the more strongly regularised one."""
    return min(candidates, key=lambda candidate: (-candidate.accuracy, candidate.strength))


@task
def accuracies(candidates: list[Candidate]) -> dict[str, float]:
    """The accuracy of each candidate by its strength, as the report takes them."""
    return {f"{candidate.strength:g}": candidate.accuracy for candidate in candidates}


report = NotebookTask(
    name="report",
    notebook_path=Path(__file__).with_name("quickstart_report.ipynb"),
    inputs=kwtypes(accuracies=dict[str, float], strength=float, measurements=pd.DataFrame),
    outputs=kwtypes(missed=int),
)


@workflow
def pipeline(folds: int = 5) -> Candidate:
    """Load, validate, train the candidates in parallel, choose the best, report."""
    frame = load()
    checked = check(frame=frame)
    candidates = []
    for strength in STRENGTHS:
        candidates.append(train(frame=frame, checked=checked, strength=strength, folds=folds))
    best = choose(candidates=candidates)
    report(accuracies=accuracies(candidates=candidates), strength=best.strength, measurements=frame)
    return best
