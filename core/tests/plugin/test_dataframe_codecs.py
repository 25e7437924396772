"""Frames of a plugin's own class: codecs chosen by class, scheme and format, each imported when it is needed."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from typing import Annotated, Any

import pytest

pytest.importorskip("pyarrow")
pandas = pytest.importorskip("pandas")

from fake_distributions import Distributions  # noqa: E402
from flytepath import kwtypes  # noqa: E402
from flytepath.errors import PluginConflictError, PluginError, TypeTransformerFailedError  # noqa: E402
from flytepath.plugin.manager import set_current  # noqa: E402
from flytepath.testing import MemoryBlobs  # noqa: E402
from flytepath.types.engine import codec  # noqa: E402
from flytepath.types.structured_dataset import StructuredDataset  # noqa: E402

FRAMES = '''
    import pyarrow as pa

    class Grid:
        """A frame as some library has it."""
        def __init__(self, table):
            self.table = table
'''
CODECS = """
    import pyarrow as pa
    from flytepath.plugin import Literal, LiteralType
    from flyte_plugin_grid.frames import Grid

    TABLES = {}

    def to_blob(frame, uri, sink):
        with sink.create() as writer:
            sink_ = pa.BufferOutputStream()
            with pa.ipc.new_file(sink_, frame.table.schema) as out:
                out.write_table(frame.table)
            writer.write(sink_.getvalue())
        return Literal.make(LiteralType("dataframe"), {"by": "grid"}, format="arrow-ipc", ref=writer.ref)

    def from_blob(literal, columns, source):
        table = pa.ipc.open_file(pa.memory_map(str(source.local_path(literal.ref)))).read_all()
        return Grid(table.select(list(columns)) if columns else table)

    def to_base(frame, uri, sink):
        TABLES[uri] = frame if isinstance(frame, Grid) else Grid(pa.Table.from_pandas(frame))
        return Literal.make(LiteralType("dataframe"), {"uri": uri}, format="rows")

    def from_base(literal, columns, source):
        return TABLES[literal.data["uri"]]

    def from_base_to_pandas(literal, columns, source):
        return TABLES[literal.data["uri"]].table.to_pandas()

    def few(frame, uri, sink, columns=None):
        made = frame.table.select(list(columns)) if columns else frame.table
        return to_blob(Grid(made), uri, sink)

    def nothing(frame, uri, sink):
        return None

    READ = []

    def table_to_base(frame, uri, sink, columns=None):
        assert isinstance(frame, pa.Table)
        return to_base(Grid(frame.select(list(columns)) if columns else frame), uri, sink)

    def tables_from_base(literal, columns, source):
        whole = TABLES[literal.data["uri"]].table
        whole = whole.select(list(columns)) if columns else whole

        def pieces():
            for at in range(whole.num_rows):
                READ.append(at)
                yield whole.slice(at, 1)

        return pieces()
"""


def row(frame: str, scheme: str, format: str, encoder: str, decoder: str, package: str = "grid") -> str:
    made = [
        f'{side}="flyte_plugin_{package}.codecs:{name}"'
        for side, name in (("encoder", encoder), ("decoder", decoder))
        if name
    ]
    return f'DataframeCodecDeclaration(frame_type="{frame}", scheme="{scheme}", format="{format}", {", ".join(made)})'


def manifest(*rows: str) -> str:
    return f"""
        @hookimpl
        def flytepath_dataframe_codecs():
            return [{", ".join(rows)}]
    """


GRID = "flyte_plugin_grid.frames.Grid"
ROWS = (
    row(GRID, "", "arrow-ipc", "to_blob", "from_blob"),
    row(GRID, "base", "", "to_base", "from_base"),
    row("pandas.DataFrame", "base", "", "to_base", "from_base_to_pandas"),
    row("pandas.core.frame.DataFrame", "base", "", "to_base", "from_base_to_pandas"),
    row(GRID, "", "broken", "nothing", ""),
    row(GRID, "", "few", "few", ""),
)


ARROW_ROWS = (
    row("pyarrow.lib.Table", "base", "", "table_to_base", "tables_from_base"),
    row(GRID, "base", "", "to_base", "from_base"),
)


@pytest.fixture
def arrow_base(distributions: Distributions) -> Iterator[Any]:
    path = distributions.add("grid", manifest(*ARROW_ROWS))
    (path.parent / "frames.py").write_text(textwrap.dedent(FRAMES))
    (path.parent / "codecs.py").write_text(textwrap.dedent(CODECS))
    importlib.invalidate_caches()
    before = set_current(None)
    yield importlib.import_module("flyte_plugin_grid.codecs")
    set_current(before)


@pytest.fixture
def grid(distributions: Distributions) -> Iterator[Any]:
    path = distributions.add("grid", manifest(*ROWS))
    (path.parent / "frames.py").write_text(textwrap.dedent(FRAMES))
    (path.parent / "codecs.py").write_text(textwrap.dedent(CODECS))
    importlib.invalidate_caches()
    before = set_current(None)
    yield importlib.import_module("flyte_plugin_grid.frames").Grid
    set_current(before)


def table() -> Any:
    import pyarrow

    return pyarrow.table({"a": [1, 2], "b": ["x", None]})


def test_frames_of_the_class_are_inputs_and_outputs_and_nothing_is_imported_before(grid: Any) -> None:
    blobs, grids = MemoryBlobs(), codec(grid)
    assert "flyte_plugin_grid.codecs" not in sys.modules
    literal = grids.encode(grid(table()), blobs)
    assert literal.data == {"by": "grid"}
    assert grids.decode(literal, blobs).table.equals(table())
    assert not grids.pickled
    with pytest.raises(TypeTransformerFailedError):
        grids.isolate([1])


def test_they_are_core_frames_and_datasets_too(grid: Any) -> None:
    blobs = MemoryBlobs()
    literal = codec(grid).encode(grid(table()), blobs)
    assert codec(pandas.DataFrame).decode(literal, blobs)["a"].tolist() == [1, 2]
    dataset = codec(StructuredDataset).decode(literal, blobs)
    assert dataset.open(grid).all().table.equals(table())
    narrow = codec(Annotated[StructuredDataset, kwtypes(a=int)]).decode(literal, blobs)
    assert narrow.open(grid).all().table.column_names == ["a"]
    written = codec(pandas.DataFrame).encode(pandas.DataFrame({"a": [1, 2]}), blobs)
    assert codec(grid).decode(written, blobs).table.column("a").to_pylist() == [1, 2]
    assert codec(Annotated[grid, kwtypes(a=int)]).decode(literal, blobs).table.column_names == ["a"]


def test_a_direct_call_converts_as_a_durable_one_does(grid: Any) -> None:
    held = codec(StructuredDataset).isolate(StructuredDataset(dataframe=grid(table())))
    assert held.open(grid).all().table.equals(table())
    assert held.open(pandas.DataFrame).all()["a"].tolist() == [1, 2]
    assert codec(grid).isolate(pandas.DataFrame({"a": [1]})).table.column("a").to_pylist() == [1]
    assert codec(pandas.DataFrame).isolate(StructuredDataset(dataframe=grid(table())))["a"].tolist() == [1, 2]
    assert codec(pandas.DataFrame).isolate(grid(table()))["a"].tolist() == [1, 2]


def test_an_encoder_that_takes_columns_writes_only_those_declared(grid: Any) -> None:
    blobs = MemoryBlobs()
    for format, names in (("few", ["a"]), ("arrow-ipc", ["a", "b"])):
        made = StructuredDataset(dataframe=grid(table()), file_format=format)
        literal = codec(Annotated[StructuredDataset, kwtypes(a=int)]).encode(made, blobs)
        assert codec(grid).decode(literal, blobs).table.column_names == names


def test_a_frame_of_a_subclass_is_handed_over_as_it_is(grid: Any) -> None:
    own = type("Own", (grid,), {})(table())
    assert codec(grid).isolate(own) is own


def test_a_plugins_own_frames_take_no_scheme_from_core(distributions: Distributions) -> None:
    distributions.add("grid", manifest(row(GRID, "memory", "", "to_base", "from_base")))
    before = set_current(None)
    try:
        made = StructuredDataset(dataframe=pandas.DataFrame({"a": [1]}), uri="memory://tables/one.parquet")
        literal = codec(StructuredDataset).encode(made, MemoryBlobs())
        assert literal.format == "parquet"
        assert codec(pandas.DataFrame).decode(literal, MemoryBlobs())["a"].tolist() == [1]
    finally:
        set_current(before)


def test_a_scheme_of_the_plugin_is_its_own_to_write_and_read(grid: Any) -> None:
    blobs = MemoryBlobs()
    for frame in (grid(table()), pandas.DataFrame({"a": [1, 2]})):
        made = StructuredDataset(dataframe=frame, uri="base://db/t")
        literal = codec(StructuredDataset).encode(made, blobs)
        assert (literal.format, literal.data) == ("rows", {"uri": "base://db/t"})
        received = codec(StructuredDataset).decode(literal, blobs)
        assert received.open(grid).all().table.column("a").to_pylist() == [1, 2]
        assert received.open(pandas.DataFrame).all()["a"].tolist() == [1, 2]
    referred = codec(StructuredDataset).isolate(StructuredDataset(uri="base://db/t"))
    assert referred.open(pandas.DataFrame).all()["a"].tolist() == [1, 2]
    assert not blobs.contents


def test_what_no_codec_covers_is_an_error_with_a_hint(grid: Any) -> None:
    blobs = MemoryBlobs()
    for made, says in (
        (StructuredDataset(dataframe=grid(table()), file_format="delta"), "'delta'"),
        (StructuredDataset(dataframe=grid(table()), uri="other://x"), "other://"),
        (StructuredDataset(dataframe=pandas.DataFrame({"a": [1]}), file_format="delta"), "'delta'"),
    ):
        with pytest.raises(TypeTransformerFailedError) as caught:
            codec(StructuredDataset).encode(made, blobs)
        assert says in str(caught.value)
        assert caught.value.hint
    with pytest.raises(PluginError, match="encoder of frames returns the literal"):
        codec(StructuredDataset).encode(StructuredDataset(dataframe=grid(table()), file_format="broken"), blobs)


def test_two_plugins_with_one_codec_are_an_error_until_a_route_decides(grid: Any, distributions: Distributions) -> None:
    rival = manifest(row(GRID, "", "arrow-ipc", "to_blob", "from_blob", "rival"))
    path = distributions.add("rival", rival)
    (path.parent / "codecs.py").write_text(textwrap.dedent(CODECS).replace('"grid"', '"rival"'))
    importlib.invalidate_caches()
    set_current(None)
    with pytest.raises(PluginConflictError) as caught:
        codec(StructuredDataset).encode(StructuredDataset(dataframe=grid(table())), MemoryBlobs())
    assert "flyte-plugin-grid 1.0 and flyte-plugin-rival 1.0" in caught.value.message
    distributions.configure(f'[plugins.routes]\n"dataframe-codec:{GRID},,arrow-ipc" = "flyte-plugin-rival"')
    set_current(None)
    literal = codec(StructuredDataset).encode(StructuredDataset(dataframe=grid(table())), MemoryBlobs())
    assert literal.data == {"by": "rival"}


def _frames() -> list[Any]:
    polars = pytest.importorskip("polars")
    return [pandas.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]}), polars.DataFrame({"a": [1, 2, 3]}), table()]


def test_a_codec_of_arrow_tables_serves_all_of_cores_frames(arrow_base: Any) -> None:
    for frame in _frames():
        literal = codec(StructuredDataset).encode(StructuredDataset(dataframe=frame, uri="base://t"), MemoryBlobs())
        back = codec(StructuredDataset).decode(literal, MemoryBlobs()).open(type(frame)).all()
        assert back.equals(frame), type(frame)
        assert codec(type(frame)).decode(literal, MemoryBlobs()).equals(frame)


def test_pieces_of_a_decoder_are_read_as_they_are_asked_for(arrow_base: Any) -> None:
    frame = pandas.DataFrame({"a": [1, 2, 3]})
    literal = codec(StructuredDataset).encode(StructuredDataset(dataframe=frame, uri="base://t"), MemoryBlobs())
    for kind in (pandas.DataFrame, type(table())):
        arrow_base.READ.clear()
        pieces = codec(StructuredDataset).decode(literal, MemoryBlobs()).open(kind).iter()
        assert isinstance(next(pieces), kind)
        assert arrow_base.READ == [0]
        assert [len(piece) for piece in pieces] == [1, 1]


def test_only_declared_columns_pass_through_a_codec_of_arrow_tables(arrow_base: Any) -> None:
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    narrow = Annotated[StructuredDataset, kwtypes(a=int)]
    literal = codec(narrow).encode(StructuredDataset(dataframe=frame, uri="base://t"), MemoryBlobs())
    assert codec(pandas.DataFrame).decode(literal, MemoryBlobs()).columns.tolist() == ["a"]
    whole = codec(StructuredDataset).encode(StructuredDataset(dataframe=frame, uri="base://t"), MemoryBlobs())
    assert codec(narrow).decode(whole, MemoryBlobs()).open(pandas.DataFrame).all().columns.tolist() == ["a"]
    assert codec(Annotated[pandas.DataFrame, kwtypes(b=str)]).decode(whole, MemoryBlobs()).columns.tolist() == ["b"]


def test_a_table_at_a_plugins_scheme_is_read_where_a_frame_is_declared(arrow_base: Any) -> None:
    arrow_base.TABLES["base://there"] = importlib.import_module("flyte_plugin_grid.frames").Grid(table())
    literal = codec(StructuredDataset).encode(StructuredDataset(uri="base://there"), MemoryBlobs())
    assert codec(pandas.DataFrame).decode(literal, MemoryBlobs())["a"].tolist() == [1, 2]
    assert codec(pandas.DataFrame).isolate(StructuredDataset(uri="base://there"))["a"].tolist() == [1, 2]
