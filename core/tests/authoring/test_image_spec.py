from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest
from flytepath.authoring.declared.image_spec import ImageSpec
from flytepath.errors import DefinitionError


def test_equal_specs_have_one_tag_and_others_do_not(tmp_path: Path) -> None:
    base = ImageSpec(packages=["a", "b"], env={"X": "1", "Y": "2"})
    assert base == ImageSpec(packages=("a", "b"), env={"Y": "2", "X": "1"})
    assert base.tag == ImageSpec(packages=["a", "b"], env={"Y": "2", "X": "1"}).tag
    assert hash(base) == hash(ImageSpec(packages=["a", "b"], env={"Y": "2", "X": "1"}))
    others = [
        base.with_packages("c"),
        base.with_apt_packages("git"),
        base.with_commands(["ls"]),
        base.with_runtime_packages(["d"]),
        base.with_builder_options({"x": 1}),
        ImageSpec(packages=["b", "a"], env={"X": "1", "Y": "2"}),
        ImageSpec(packages=["a", "b"]),
        ImageSpec(base_image=base),
        ImageSpec(base_image=base.with_packages("c")),
        ImageSpec(python_version="3.12"),
    ]
    assert len({spec.tag for spec in (base, *others)}) == len(others) + 1


def test_where_an_image_is_kept_is_not_what_it_contains() -> None:
    base = ImageSpec(packages=["a"])
    assert base.tag == ImageSpec(packages=["a"], name="other", registry="ghcr.io/me").tag
    assert base.force_push().tag == base.tag
    assert base.force_push().push and not base.push


def test_the_content_of_files_counts_and_not_their_place(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "requirements.txt").write_text("a==1\n")
    first = ImageSpec(requirements=str(tmp_path / "one" / "requirements.txt"))
    second = ImageSpec(requirements=tmp_path / "two" / "requirements.txt")  # type: ignore[arg-type]
    assert first.tag == second.tag
    (tmp_path / "two" / "requirements.txt").write_text("a==2\n")
    assert first.tag != second.tag
    taken = ImageSpec().with_copy(str(tmp_path / "one"))
    before = taken.tag
    (tmp_path / "one" / "more.txt").write_text("x")
    assert taken.tag != before


def test_a_file_that_is_missing_is_said_when_the_tag_is_needed() -> None:
    with pytest.raises(DefinitionError, match="no/such/file"):
        _ = ImageSpec(requirements="no/such/file").tag


def test_the_name_has_registry_and_tag() -> None:
    spec = ImageSpec(name="Train", registry="ghcr.io/Me/", tag_format="{spec_hash}-dev")
    assert spec.image_name().startswith("ghcr.io/me/train:")
    assert spec.image_name().endswith("-dev")
    assert not spec.is_container()


def test_copies_leave_the_original() -> None:
    base = ImageSpec(packages=["a"])
    assert base.with_packages(["b", "c"]).packages == ("a", "b", "c")
    assert base.packages == ("a",)


def test_json_keeps_a_spec() -> None:
    spec = ImageSpec(
        name="x",
        packages=["a"],
        base_image=ImageSpec(name="base", apt_packages=["git"]),
        pip_secret_mounts=[("s", "/run/s")],
        source_copy_mode=ImageSpec.CopyFileDetection.ALL,
        builder_options={"a": [1]},
    )
    assert ImageSpec.from_json(spec.to_json()) == spec


def test_a_spec_of_this_environment() -> None:
    from importlib.metadata import version

    spec = ImageSpec.from_env(pinned_packages=["click"], packages=["a"], name="here")
    assert spec.packages == ("a", f"click=={version('click')}")
    assert platform.python_version().startswith(str(spec.python_version))
    with pytest.raises(DefinitionError, match="not installed"):
        ImageSpec.from_env(pinned_packages=["no-such-distribution-anywhere"])


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "-a"},
        {"python_version": 3.12},
        {"python_version": "3"},
        {"python_version": "2.7"},
        {"packages": "pandas"},
        {"packages": [1]},
        {"packages": [""]},
        {"apt_packages": {"git"}},
        {"env": {"A": 1}},
        {"env": ["A=1"]},
        {"registry": "https://ghcr.io"},
        {"tag_format": "dev"},
        {"base_image": 3},
        {"requirements": ["a"]},
        {"source_copy_mode": "some"},
        {"pip_secret_mounts": [("a",)]},
        {"pip_secret_mounts": "ab"},
        {"builder_options": {"x": object()}},
        {"push": "yes"},
    ],
)
def test_what_cannot_be_built_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError) as caught:
        ImageSpec(**arguments)
    assert str(caught.value.place).startswith(f"ImageSpec({next(iter(arguments))})")


def test_a_version_written_as_a_number_has_a_hint() -> None:
    with pytest.raises(DefinitionError, match="quotes"):
        ImageSpec(python_version=3.10)  # type: ignore[arg-type]
