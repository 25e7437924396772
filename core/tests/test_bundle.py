"""Code bundles: what they hold, what names them, and how they are unpacked."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from flytepath.bundle import FILE_LIMIT, Bundle, collect, needs_files, unpack, unpacked
from flytepath.errors import StoreError


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1")


def test_a_script_takes_its_neighbours_and_packages_along(tmp_path: Path) -> None:
    write(tmp_path, "flow.py", "beside.py", "query.sql", ".hidden", "other/loose.py")
    write(tmp_path, "pack/__init__.py", "pack/deep.py", "pack/__pycache__/deep.pyc")
    bundle = collect(tmp_path / "flow.py", tmp_path)
    assert sorted(bundle.files) == ["beside.py", "flow.py", "pack/__init__.py", "pack/deep.py", "query.sql"]


def test_a_module_of_a_package_takes_its_whole_package_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, "pack/__init__.py", "pack/flow.py", "pack/sub/data.json", "script.py")
    bundle = collect(tmp_path / "pack" / "flow.py", tmp_path)
    assert sorted(bundle.files) == ["pack/__init__.py", "pack/flow.py", "pack/sub/data.json"]


def test_a_virtual_environment_and_large_data_stay_out(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text("")
    (tmp_path / "env" / "lib").mkdir(parents=True)
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "env" / "__init__.py").write_text("")
    (tmp_path / "data.csv").write_bytes(b"x" * (FILE_LIMIT + 1))
    assert sorted(collect(tmp_path / "flow.py", tmp_path).files) == ["flow.py"]


def test_what_a_definition_has_read_goes_where_its_code_goes(tmp_path: Path) -> None:
    write(tmp_path, "work/flow.py", "work/suites/people.json", "work/suites/other.json", "elsewhere.json")
    root = tmp_path / "work"
    needs_files([root / "suites" / "people.json", root / "suites" / "gone.json", tmp_path / "elsewhere.json"])
    assert sorted(collect(root / "flow.py", root).files) == ["flow.py", "suites/people.json"]


def test_names_and_contents_make_the_digest_and_nothing_else() -> None:
    assert Bundle.of({"a": b"1", "b": b"2"}).digest == Bundle.of({"b": b"2", "a": b"1"}).digest
    digests = {
        Bundle.of(files).digest for files in ({"a": b"1"}, {"a": b"2"}, {"b": b"1"}, {"a": b"", "1": b""}, {"a1": b""})
    }
    assert len(digests) == 5


def test_a_bundle_is_unpacked_once_whoever_comes(tmp_path: Path) -> None:
    bundle = Bundle.of({f"pack/m{i}.py": b"x" * 1000 for i in range(50)})
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(unpack(bundle, tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 1
    assert len(list(folders[0].rglob("*.py"))) == 50
    assert [path.name for path in folders[0].parent.iterdir()] == [folders[0].name]
    assert unpacked(bundle.digest, tmp_path) == folders[0]


def test_a_bundle_that_is_gone_is_an_error_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        unpacked("sha256:00", tmp_path)
    assert str(tmp_path) in str(caught.value.place)
