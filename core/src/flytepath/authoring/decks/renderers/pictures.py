"""Pictures and figures, put into the page itself: image files, PIL images, matplotlib and plotly figures."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any, Final

from flytepath.errors import TypeTransformerFailedError

#: A drawing of many points is smaller as a picture.
_SVG_LIMIT: Final = 500_000
_MEDIA: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".svg": "image/svg+xml",
}


class ImageRenderer:
    """A picture: a path, a ``FlyteFile``, or an image of PIL.

    Example:
        >>> ImageRenderer().to_html(3)
        Traceback (most recent call last):
        flytepath.errors.TypeTransformerFailedError: [FP-TYPE] this is not a picture
          at: ImageRenderer.to_html(image_src)
          expected: a path to a .png, .jpg, .jpeg, .gif, .webp, .bmp, .svg file, or an image of PIL
          actual: int
    """

    def to_html(self, image_src: Any) -> str:
        """The picture, inside the page.

        Raises:
            TypeTransformerFailedError: it is not a picture.
            OSError: the file cannot be read.
        """
        if is_pil_image(image_src):
            content = io.BytesIO()
            plain = (
                image_src if image_src.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I") else image_src.convert("RGB")
            )
            plain.save(content, format="PNG")
            return picture(content.getvalue(), "image/png")
        if isinstance(image_src, str | os.PathLike):
            path = Path(image_src)
            media = _MEDIA.get(path.suffix.lower())
            if media is not None:
                return picture(path.read_bytes(), media)
        raise TypeTransformerFailedError(
            "this is not a picture",
            place="ImageRenderer.to_html(image_src)",
            expected=f"a path to a {', '.join(_MEDIA)} file, or an image of PIL",
            actual=repr(os.fspath(image_src)) if isinstance(image_src, str | os.PathLike) else type(image_src).__name__,
        )


class FigureRenderer:
    """A figure of matplotlib (or its axes), or of plotly."""

    def to_html(self, figure: Any) -> str:
        """The figure, inside the page.

        Raises:
            TypeTransformerFailedError: it is neither.
        """
        library = figure_library(figure)
        if library == "plotly":
            # The script goes along: a deck must show without a network.
            found: str = figure.to_html(full_html=False, include_plotlyjs=True)
            return found
        if library == "matplotlib":
            return _drawn(figure if hasattr(figure, "savefig") else figure.figure)
        raise TypeTransformerFailedError(
            "this is not a figure", expected="a figure of matplotlib or plotly", actual=type(figure).__name__
        )


def figure_library(value: Any) -> str | None:
    """Which library's figure a value is, without importing any."""
    for base in type(value).__mro__:
        library = base.__module__.partition(".")[0]
        if library == "plotly" and base.__name__ == "BaseFigure":
            return "plotly"
        if library == "matplotlib" and base.__name__ in ("FigureBase", "Figure", "Axes", "_AxesBase"):
            return "matplotlib"
    return None


def is_pil_image(value: Any) -> bool:
    """Whether a value is an image of PIL, without importing it."""
    return any(base.__module__ == "PIL.Image" and base.__name__ == "Image" for base in type(value).__mro__)


def picture(content: bytes, media: str) -> str:
    """A picture's bytes as an ``img`` element."""
    return f'<img style="max-width:100%" alt="" src="data:{media};base64,{base64.b64encode(content).decode()}">'


def _drawn(figure: Any) -> str:
    drawing = io.BytesIO()
    figure.savefig(drawing, format="svg", bbox_inches="tight")
    if drawing.tell() <= _SVG_LIMIT:
        return picture(drawing.getvalue(), "image/svg+xml")
    drawing = io.BytesIO()
    figure.savefig(drawing, format="png", bbox_inches="tight", dpi=150)
    return picture(drawing.getvalue(), "image/png")
