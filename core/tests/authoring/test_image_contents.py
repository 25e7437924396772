"""What a compiled task keeps of its image: the content of files, and the environment variables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from compiled_specs import compiled
from flytepath import ImageSpec, task, workflow
from flytepath.errors import DefinitionError


def test_the_content_of_requirements_is_kept_with_what_it_includes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "requirements.txt").write_text("a==1\n-r deep/more.txt\n-c deep/bounds.txt\n./here[extra]\n-e ./here\n")
    (tmp_path / "deep" / "more.txt").write_text("# more\n--requirement=../requirements.txt\nb \\\n>=2\n")
    (tmp_path / "deep" / "bounds.txt").write_text("c<3\n")
    data = ImageSpec(requirements=str(tmp_path / "requirements.txt"), packages=["./here", "d"]).compiled()
    here = str(tmp_path / "here")
    lines = data["requirements_text"].splitlines()
    assert lines == ["a==1", "# more", "b  >=2", f"{here}[extra]", f"-e {here}"]
    assert data["constraints_text"] == "c<3"
    assert data["requirements"] == "requirements.txt"
    assert data["packages"] == [here, "d"]
    before = data["content_digests"]
    (tmp_path / "here" / "changed.py").write_text("x")
    assert ImageSpec(packages=["./here"]).compiled()["content_digests"] != before[:1]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff", b"-r nowhere.txt\n"])
def test_a_file_that_cannot_be_read_is_told_when_it_is_compiled(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "r.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DefinitionError, match="requirements") as caught:
        ImageSpec(requirements=str(path)).compiled()
    assert str(tmp_path) in str(caught.value.actual)


base = ImageSpec(env={"A": "base", "B": "base"})
image = ImageSpec(base_image=base, env={"B": "image", "C": "image"})


@task(container_image=image, environment={"C": "task"})
def seen() -> list[str]:
    return [os.environ.get(name, "") for name in "ABC"]


@workflow
def changed() -> list[str]:
    return seen().with_overrides(container_image=ImageSpec(env={"A": "node"}))


@workflow
def both_changed() -> list[str]:
    return seen().with_overrides(environment={"A": "node"})


def test_the_variables_of_an_image_are_there_in_a_direct_call() -> None:
    assert seen() == ["base", "image", "task"]
    assert changed() == ["node", "", "task"]
    assert both_changed() == ["node", "image", "image"]
    assert "A" not in os.environ


def node_variables(entity: Any) -> dict[str, str]:
    spec = compiled(entity)
    return spec.nodes[0].task_of(spec.tasks).variables


def test_they_are_compiled_into_the_task_and_a_node_may_change_them() -> None:
    assert node_variables(changed) == {"A": "node", "C": "task"}
    assert node_variables(both_changed) == {"A": "node", "B": "image", "C": "image"}
