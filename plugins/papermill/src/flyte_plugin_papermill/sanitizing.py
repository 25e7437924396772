"""HTML of a notebook without anything that runs or loads: known tags and attributes, and pictures that are in it."""

from __future__ import annotations

import re
import uuid
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TAGS: Final = _words(
    """
    a abbr b blockquote br caption cite code col colgroup dd del details div dl dt em figcaption figure
    h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp section small span strong sub summary sup
    table tbody td tfoot th thead tr u ul var
    """
)
_ATTRIBUTES: Final = frozenset(
    {"class", "id", "title", "colspan", "rowspan", "align", "alt", "width", "height", "open"}
)
#: Left out with all that is inside.
_BLOCKS: Final = re.compile(
    r"<(script|style|iframe|object|template|noscript|svg|math)\b[^>]*>.*?(</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL
)
#: A picture that is in the page itself. One in SVG is shown as a picture too, and runs nothing.
_PICTURE: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*")
_LINK: Final = re.compile(r"(https?://|mailto:|#)", re.IGNORECASE)


def sanitized(page: str) -> str:
    """``page`` without scripts, styles, frames, and whatever is loaded from elsewhere when it is shown.

    Links stay; they do something only when somebody follows them.

    Example:
        >>> sanitized('<p onclick="x()">Hello <script>alert(1)</script><b>you</b></p>')
        '<p>Hello <b>you</b></p>'
    """
    import bleach

    # Cleaning reads letter by letter, and pictures are most of a page.
    stem = f"picture-{uuid.uuid4().hex}-"
    pictures: list[str] = []

    def stashed(found: re.Match[str]) -> str:
        pictures.append("".join(found.group().split()))
        return f"{stem}{len(pictures) - 1}."

    def allowed(tag: str, name: str, value: str) -> bool:
        if name == "src":
            return tag == "img" and value.startswith(stem)
        if name == "href":
            return tag == "a" and _LINK.match(value) is not None
        return name in _ATTRIBUTES

    given = _PICTURE.sub(stashed, page)
    while (fewer := _BLOCKS.sub("", given)) != given:
        given = fewer
    clean = str(bleach.clean(given, tags=_TAGS, attributes=allowed, strip=True))
    return re.sub(re.escape(stem) + r"(\d+)\.", lambda found: pictures[int(found.group(1))], clean)
