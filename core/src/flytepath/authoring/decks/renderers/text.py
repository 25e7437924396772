"""Texts: Markdown, source code, and the distributions of the environment."""

from __future__ import annotations

import html
import inspect
from typing import Any

from flytepath.authoring.decks.renderers.tables import table


class MarkdownRenderer:
    """Markdown with tables. HTML inside it is shown as text, so that it may come from data.

    Args:
        allow_html: let HTML through; only for text of your own.

    Example:
        >>> MarkdownRenderer().to_html("a *fine* <b>day</b>").strip()
        '<p>a <em>fine</em> &lt;b&gt;day&lt;/b&gt;</p>'
    """

    def __init__(self, allow_html: bool = False) -> None:
        self.allow_html = allow_html

    def to_html(self, text: str) -> str:
        """The text as HTML."""
        from markdown_it import MarkdownIt

        rendered: str = MarkdownIt("commonmark", {"html": self.allow_html}).enable("table").render(str(text))
        return rendered


class SourceCodeRenderer:
    """Python code in colours.

    Args:
        title: stands above it.

    Example:
        >>> "def" in SourceCodeRenderer().to_html("def f(): pass")
        True
    """

    def __init__(self, title: str = "Source Code") -> None:
        self.title = title

    def to_html(self, source_code: Any) -> str:
        """The code, given as text or as the function it defines."""
        from pygments import highlight  # type: ignore[import-untyped]
        from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
        from pygments.lexers import PythonLexer  # type: ignore[import-untyped]

        text = source_code if isinstance(source_code, str) else _source_of(source_code)
        formatter = HtmlFormatter(noclasses=True, style="friendly", prestyles="padding:8px;overflow-x:auto")
        return f"<h3>{html.escape(self.title)}</h3>{highlight(text, PythonLexer(), formatter)}"


class PythonDependencyRenderer:
    """The Python and the distributions of the environment a task runs in.

    Args:
        title: stands above it.
    """

    def __init__(self, title: str = "Dependencies") -> None:
        self.title = title

    def to_html(self, value: Any = None) -> str:
        """A table of names and versions, and the same as a list of requirements."""
        import platform
        from importlib.metadata import distributions

        found: dict[str, tuple[str, str]] = {}
        for distribution in distributions():
            # The first on the path is the one that is imported.
            name = distribution.metadata["Name"]
            if name:
                found.setdefault(name.lower().replace("_", "-"), (name, distribution.version))
        rows = [found[key] for key in sorted(found)]
        pins = html.escape("\n".join(f"{name}=={version}" for name, version in rows))
        return (
            f"<h3>{html.escape(self.title)}</h3>"
            f"{table(('distribution', 'version'), rows, caption=f'Python {platform.python_version()}')}"
            f"<details><summary>as requirements</summary><pre>{pins}</pre></details>"
        )


def _source_of(function: Any) -> str:
    try:
        return inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError):
        return f"# the source of {getattr(function, '__qualname__', function)!s} is not at hand\n"
