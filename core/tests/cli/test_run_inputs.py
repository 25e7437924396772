"""Inputs as options: which word is whose, and what each of them may look like."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from flytepath import FlyteFile, LaunchPlan, map_task, task, workflow
from flytepath.cli.descriptions import described, kind_of, show_help, summary_of
from flytepath.cli.inputs import pairs, read_inputs, split_arguments
from flytepath.errors import InputError, MissingInputError, UnknownInputError

OWN = {"--project": True, "--json": False, "--name": True}


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


@task
def train(
    rate: float,
    layers: list[int],
    fast: bool = False,
    maybe: bool | None = None,
    color: Color = Color.RED,
    mode: Literal["a", "b"] = "a",
    name: str = "x",
    no_op: int = 0,
) -> int:
    """Train a model.

    Args:
        rate: how fast
            it learns.
        layers: units of each layer.
    """
    return 1


@task
def read(file: FlyteFile) -> str:
    return "x"


@workflow
def flow(rate: float, layers: list[int]) -> int:
    """A workflow."""
    return train(rate=rate, layers=layers)


plan = LaunchPlan.get_or_create(flow, "slow", fixed_inputs={"rate": 0.1}, default_inputs={"layers": [1]})


def texts(*arguments: str, entity: Any = train) -> dict[str, list[str]]:
    return split_arguments(arguments, entity, OWN).texts


def test_options_are_inputs_and_take_a_value_or_an_equals_sign() -> None:
    assert texts("--rate", "-0.5", "--layers=[1]") == {"rate": ["-0.5"], "layers": ["[1]"]}
    assert texts("--name=--rate") == {"name": ["--rate"]}
    assert texts("--no-op", "3") == {"no_op": ["3"]}
    assert texts("--layers", "1", "--layers", "2") == {"layers": ["1", "2"]}


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["--fast"], "true"),
        (["--no-fast"], "false"),
        (["--fast", "true"], "true"),
        (["--fast", "False"], "False"),
        (["--fast=false"], "false"),
        (["--fast", "--rate", "1"], "true"),
    ],
)
def test_a_flag_needs_no_value(arguments: list[str], value: str) -> None:
    assert texts(*arguments)["fast"] == [value]


def test_an_optional_flag_can_be_null() -> None:
    assert texts("--maybe", "null") == {"maybe": ["null"]}
    assert texts("--no-maybe") == {"maybe": ["false"]}
    assert read_inputs(train, {"rate": ["1"], "layers": ["[]"], "maybe": ["null"]}, None)["maybe"] is None


def test_after_name_a_name_that_both_have_is_the_inputs() -> None:
    given = split_arguments(["--name", "n", "--project", "p", "--json", "--rate", "1", "-h"], train, OWN)
    assert given.texts == {"name": ["n"], "rate": ["1"]}
    assert given.own == ["--project", "p", "--json"]
    assert given.wants_help


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rat", "1"], "did you mean 'rate'"),
        (["--rate"], "needs a value"),
        (["--rate", "--layers", "[1]"], "needs a value"),
        (["extra"], "unexpected argument 'extra'"),
        (["--"], "unexpected argument '--'"),
        (["-x", "1"], "unexpected argument '-x'"),
        (["--env", "A=1"], "options of the command stand before NAME"),
    ],
)
def test_what_is_no_input_is_an_error(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        texts(*arguments)


def test_values_are_typed_from_the_signature() -> None:
    given = texts("--rate", "1", "--layers", "1", "--layers", "2", "--color", "b", "--mode", "b", "--fast")
    read_in = read_inputs(train, given, None)
    assert read_in == {
        "rate": 1.0,
        "layers": [1, 2],
        "fast": True,
        "maybe": None,
        "color": Color.BLUE,
        "mode": "b",
        "name": "x",
        "no_op": 0,
    }


def test_every_missing_input_is_named() -> None:
    with pytest.raises(MissingInputError, match="'rate', 'layers'"):
        read_inputs(train, {}, None)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [("rate", "x", "--rate"), ("layers", '[1, "a"]', "--layers[1]"), ("color", "REDD", "--color")],
)
def test_an_error_says_which_input_and_where_in_it(name: str, text: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        read_inputs(train, {name: [text]}, None)
    assert caught.value.place == place


def test_a_value_twice_is_an_error_where_there_is_one() -> None:
    with pytest.raises(InputError, match="twice"):
        read_inputs(train, {"rate": ["1", "2"]}, None)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        read_inputs(read, {"file": ["none.csv"]}, None)
    assert "none.csv" in str(caught.value)
    (tmp_path / "some.csv").write_text("a")
    assert Path(read_inputs(read, {"file": ["some.csv"]}, None)["file"].path).read_text() == "a"


@pytest.mark.parametrize(
    ("name", "content"),
    [("in.json", json.dumps({"rate": 2, "layers": [3]})), ("in.yaml", "rate: 2\nlayers:\n  - 3\n")],
)
def test_an_inputs_file_is_json_or_yaml_and_what_is_typed_comes_first(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    read_in = read_inputs(train, {"rate": ["5"]}, tmp_path / name)
    assert (read_in["rate"], read_in["layers"]) == (5.0, [3])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1]", "no object"),
        ("{a: [", "not JSON or YAML"),
        ('{"rat": 1}', "no input 'rat'"),
        ('{"layers": [1, "x"]}', "layers[1]"),
    ],
)
def test_a_wrong_inputs_file_is_named_with_the_place(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "in.json").write_text(content)
    with pytest.raises(InputError) as caught:
        read_inputs(train, {}, tmp_path / "in.json")
    assert said in str(caught.value)


def test_what_a_launch_plan_fixes_cannot_be_given(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"rate": 1}')
    with pytest.raises(UnknownInputError, match="fixes input 'rate'"):
        split_arguments(["--rate", "1"], plan, OWN)
    with pytest.raises(UnknownInputError, match="fixes input 'rate'"):
        read_inputs(plan, {}, tmp_path / "in.json")
    assert read_inputs(plan, {}, None) == {"layers": [1]}


def test_a_map_takes_lists(capsys: pytest.CaptureFixture[str]) -> None:
    mapped = map_task(read)
    with pytest.raises(InputError):
        read_inputs(mapped, {"file": ["none.csv"]}, None)
    assert kind_of(mapped) == "map"


def test_help_shows_types_choices_defaults_and_what_the_docstring_says(capsys: pytest.CaptureFixture[str]) -> None:
    show_help("flow.py", "train", train)
    out = capsys.readouterr().out
    for text in (
        "float  (required)\n",
        "how fast it learns.",
        "--fast / --no-fast",
        "one of RED, BLUE  (default RED)",
        "one of a, b  (default 'a')",
        "list[int]",
        "o0",
    ):
        assert text in out, text
    assert "Args:" not in out
    show_help("flow.py", "plan", plan)
    out = capsys.readouterr().out
    assert "Fixed by the launch plan:\n  rate  0.1\n" in out
    assert summary_of(plan) == "A workflow."


NUMPY = """Trains.

Parameters
----------
rate : float
    How fast.
layers : list of int
    Units.

Returns
-------
int
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", {}),
        ("Args:\n  x: one\n", {"x": "one"}),
        (
            "T.\n\n    Args:\n        x (int): one:\n            two\n        *y: three\n\n    Returns:\n        z: no",
            {"x": "one: two", "y": "three"},
        ),
        (":param int x: one\n    two\n:param y: three\n:return: no", {"x": "one two", "y": "three"}),
        (NUMPY, {"rate": "How fast.", "layers": "Units."}),
        ("Args:", {}),
    ],
)
def test_docstrings_of_three_styles_are_read(text: str, says: dict[str, str]) -> None:
    assert described(text) == says


def test_pairs_need_a_key() -> None:
    assert pairs("--env", ["A=", "B=c=d"]) == {"A": "", "B": "c=d"}
    for wrong in ("A", "=b"):
        with pytest.raises(InputError, match="KEY=VALUE"):
            pairs("--env", [wrong])
