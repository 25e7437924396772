from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest
from flytepath.authoring.decks.renderers.charts import BoxRenderer, GanttChartRenderer
from flytepath.authoring.decks.renderers.pictures import FigureRenderer, ImageRenderer
from flytepath.authoring.decks.renderers.tables import FrameProfilingRenderer, TableRenderer, TopFrameRenderer, table
from flytepath.authoring.decks.renderers.text import MarkdownRenderer, PythonDependencyRenderer, SourceCodeRenderer
from flytepath.authoring.decks.renderers.values import render_value
from flytepath.errors import DefinitionError, TypeTransformerFailedError

EVIL = "<script>alert(1)</script>"
PNG = bytes.fromhex("89504e470d0a1a0a")


def frames(columns: dict[str, list[Any]]) -> list[Any]:
    found = []
    pandas = pytest.importorskip("pandas")
    found.append(pandas.DataFrame(columns))
    for module, make in (("pyarrow", lambda m: m.table(columns)), ("polars", lambda m: m.DataFrame(columns))):
        try:
            library = __import__(module)
        except ImportError:
            continue
        found.append(make(library))
    return found


@pytest.mark.parametrize("renderer", [TopFrameRenderer(), TableRenderer(), FrameProfilingRenderer(EVIL)])
def test_what_is_in_a_frame_is_escaped(renderer: Any) -> None:
    for frame in frames({EVIL: [EVIL, "x"], "n": [1, 2]}):
        html = renderer.to_html(frame)
        assert "<script" not in html
        assert "&lt;script&gt;" in html


def test_only_the_top_is_shown_and_how_much_there_is() -> None:
    for frame in frames({f"c{number}": list(range(100, 200)) for number in range(5)}):
        html = TopFrameRenderer(max_rows=3, max_cols=2).to_html(frame)
        assert "3 of 100 rows, 2 of 5 columns" in html
        assert "102" in html and "103" not in html
        assert "c1" in html and "c2" not in html


def test_an_empty_frame_is_shown() -> None:
    for frame in frames({"a": []}):
        assert "0 of 0 rows, 1 of 1 columns" in TopFrameRenderer().to_html(frame)
        assert "a" in FrameProfilingRenderer().to_html(frame)
        assert "a" in TableRenderer().to_html(frame)
    pandas = pytest.importorskip("pandas")
    assert "0 of 0 columns" in TopFrameRenderer().to_html(pandas.DataFrame())


def test_indices_and_equal_names_are_shown() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        [[1, 2]], columns=["a", "a"], index=pandas.MultiIndex.from_tuples([("x", "y")], names=["i", "j"])
    )
    html = TopFrameRenderer().to_html(frame)
    assert "i / j" in html and "&#x27;x&#x27;" in html
    FrameProfilingRenderer().to_html(frame)


def test_long_cells_are_cut() -> None:
    pandas = pytest.importorskip("pandas")
    assert len(TopFrameRenderer().to_html(pandas.DataFrame({"a": ["x" * 10**6]}))) < 10_000


def test_a_lazy_frame_is_read_no_further_than_it_is_shown() -> None:
    polars = pytest.importorskip("polars")
    html = TopFrameRenderer(max_rows=2).to_html(polars.LazyFrame({"a": [1, 2, 3]}))
    assert "the first 2 rows" in html


def test_a_profile_measures() -> None:
    for frame in frames({"n": [1.0, 3.0, None], "s": ["a", "a", None], "l": [[1], [1], None]}):
        html = FrameProfilingRenderer().to_html(frame)
        assert "3 rows" in html
        row = html.split("<tr>")[2]
        assert [part.split("<")[0] for part in row.split('">')[1:]][2:] == ["1", "2", "1.0", "2", "3.0"]


def test_labels_must_fit() -> None:
    for frame in frames({"a": [1], "b": [2]}):
        assert "first" in TableRenderer().to_html(frame, header_labels=["first", "second"], table_width=300)
        with pytest.raises(TypeTransformerFailedError, match="label"):
            TableRenderer().to_html(frame, header_labels=["first"])


@pytest.mark.parametrize("value", [3, None, [1], "text", {"a": [1]}])
def test_what_is_no_frame_is_told(value: Any) -> None:
    for renderer in (TopFrameRenderer(), TableRenderer(), FrameProfilingRenderer(), BoxRenderer("a")):
        with pytest.raises(TypeTransformerFailedError, match="frame"):
            renderer.to_html(value)


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "3"])
def test_limits_are_numbers_from_one(number: Any) -> None:
    with pytest.raises(DefinitionError, match="max_rows"):
        TopFrameRenderer(max_rows=number)


def test_markdown_has_tables_and_no_html_of_others() -> None:
    html = MarkdownRenderer().to_html(f"# Title\n\n|a|b|\n|-|-|\n|1|{EVIL}|\n\n[x](javascript:alert(1))")
    assert "<h1>Title</h1>" in html and "<table>" in html and "<td>1</td>" in html
    assert "<script" not in html and "href" not in html
    assert "<b>" in MarkdownRenderer(allow_html=True).to_html("<b>own</b>")


def test_source_is_shown_in_colours() -> None:
    html = SourceCodeRenderer().to_html(f"def f():\n    return '{EVIL}'\n")
    assert "<span style=" in html and "<script" not in html
    assert "test_source_is_shown_in_colours" in SourceCodeRenderer(EVIL).to_html(test_source_is_shown_in_colours)
    assert "not at hand" in SourceCodeRenderer().to_html(eval("lambda: 1"))


def test_dependencies_are_those_of_the_environment() -> None:
    html = PythonDependencyRenderer("What is here").to_html()
    assert "What is here" in html and f"pytest=={pytest.__version__}" in html


def test_boxes() -> None:
    for frame in frames({"v": [1.0, 2.0, 3.0, 4.0, 100.0], "s": ["a"] * 5}):
        html = BoxRenderer("v").to_html(frame)
        assert html.count("<circle") == 1
        with pytest.raises(TypeTransformerFailedError, match="no numbers"):
            BoxRenderer("s").to_html(frame)
        with pytest.raises(TypeTransformerFailedError, match="no column"):
            BoxRenderer("w").to_html(frame)
    for frame in frames({"v": [7]}):
        assert "7" in BoxRenderer("v").to_html(frame)


def test_bars_along_time() -> None:
    for frame in frames({"Name": [EVIL, "b"], "Start": [0, 1], "Finish": [1, 3]}):
        html = GanttChartRenderer().to_html(frame)
        assert html.count("<rect") == 2 and "<script" not in html and "3.000 s" in html
    assert GanttChartRenderer().to_html([]) == ""
    for wrong in ([("a", "b", "c")], [1], 3):
        with pytest.raises(TypeTransformerFailedError, match="time line"):
            GanttChartRenderer().to_html(wrong)


def test_a_picture_lies_in_the_page(tmp_path: Path) -> None:
    path = tmp_path / "x.PNG"
    path.write_bytes(PNG)
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in ImageRenderer().to_html(path)
    assert ImageRenderer().to_html(str(path)) == ImageRenderer().to_html(path)
    with pytest.raises(FileNotFoundError):
        ImageRenderer().to_html(tmp_path / "missing.png")
    with pytest.raises(TypeTransformerFailedError, match="not a picture"):
        ImageRenderer().to_html(tmp_path / "x.txt")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1", "CMYK", "F"])
def test_an_image_of_pil_lies_in_the_page(mode: str) -> None:
    image = pytest.importorskip("PIL.Image")
    assert "data:image/png;base64," in render_value(image.new(mode, (2, 2)))


def test_a_figure_of_matplotlib_lies_in_the_page() -> None:
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure()
    axes = figure.subplots()
    axes.plot([1, 2], [3, 4])
    assert "data:image/svg+xml;base64," in render_value(figure)
    assert "data:image/svg+xml;base64," in FigureRenderer().to_html(axes)
    axes.scatter(range(20_000), range(20_000))
    assert "data:image/png;base64," in render_value(figure)


def test_a_figure_of_plotly_needs_no_network() -> None:
    graphs = pytest.importorskip("plotly.graph_objects")
    html = render_value(graphs.Figure(graphs.Scatter(x=[1], y=[2])))
    assert "Plotly.newPlot" in html
    assert "cdn.plot.ly" not in html.split("<script")[1]
    assert 'src="http' not in html


def test_what_is_no_figure_is_told() -> None:
    with pytest.raises(TypeTransformerFailedError, match="not a figure"):
        FigureRenderer().to_html(3)


@dataclasses.dataclass
class Point:
    x: int
    note: str


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (None, "None"),
        (3, "3"),
        (b"x", "b'x'"),
        (EVIL, "&lt;script&gt;"),
        ([EVIL], "&lt;script&gt;"),
        ({EVIL: EVIL}, "&lt;script&gt;"),
        ({1, 2}, "1"),
        (Point(1, EVIL), "&lt;script&gt;"),
        (Point, "Point"),
        (object(), "object"),
    ],
)
def test_any_value_is_shown_escaped(value: Any, part: str) -> None:
    html = render_value(value)
    assert part in html and "<script" not in html


def test_models_and_notebook_values_are_shown() -> None:
    from pydantic import BaseModel

    class Model(BaseModel):
        size: int = 3

    class Fancy:
        def _repr_html_(self) -> str:
            return "<b>fancy</b>"

    assert "size" in render_value(Model())
    assert render_value(Fancy()) == "<b>fancy</b>"
    assert "Fancy" in render_value(Fancy)


def test_a_long_value_is_cut() -> None:
    assert len(render_value("x" * 10**7)) < 20_000
    assert len(render_value({str(number): number for number in range(10**5)})) < 50_000
    assert len(render_value(list(range(10**6)))) < 20_000


def test_the_annotation_s_renderer_decides() -> None:
    class Mine:
        def to_html(self, value: Any) -> str:
            return f"mine {value}"

    assert render_value(3, ["a marker", Mine(), TopFrameRenderer()]) == "mine 3"
    assert render_value(3, [Mine]) == "<pre>3</pre>", "a class is no renderer yet"


@pytest.mark.parametrize("result", [None, ValueError(EVIL)])
def test_a_renderer_that_fails_is_told_and_harms_nothing(result: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def to_html(self, value: Any) -> Any:
            if result is not None:
                raise result
            return result

    with caplog.at_level(logging.WARNING):
        html = render_value(3, [Broken()])
    assert "cannot be shown" in html and "<script" not in html
    assert "cannot be shown" in caplog.text


def test_cells_are_escaped() -> None:
    assert "<script" not in table([EVIL], [[EVIL]], caption=EVIL, kinds=[EVIL])
