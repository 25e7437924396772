"""What a page shows of outputs that are too long for one: the beginning and the end. The executed notebook has it all.

A cell may print for hours. A page is read by people, and making it safe reads it letter by letter.
"""

from __future__ import annotations

from typing import Any, Final

#: Characters of one output, and of all outputs of a page; pictures are not read, and count by themselves.
_OUTPUT: Final = 200_000
_PAGE: Final = 1_000_000
_PICTURES: Final = 20_000_000
#: What is shown of an output however full the page is.
_LEAST: Final = 1_000


def shorten_outputs(notebook: Any) -> None:
    """Shorten the outputs of ``notebook``, in place, to what a page holds."""
    left, pictures = _PAGE, _PICTURES
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            limit = max(min(_OUTPUT, left), _LEAST)
            if output.output_type == "stream":
                output.text = shortened(output.text, limit)
                left -= len(output.text)
            elif output.output_type == "error":
                output.evalue = shortened(output.evalue, _LEAST)
                output.traceback = [shortened("\n".join(output.traceback), limit)]
                left -= len(output.traceback[0])
            else:
                texts, taken = _shorten_data(output.data, limit, pictures)
                left, pictures = left - texts, pictures - taken


def _shorten_data(data: Any, limit: int, pictures: int) -> tuple[int, int]:
    """How many characters of text and of pictures are shown of what a cell displays."""
    texts = taken = 0
    for kind, value in list(data.items()):
        if not isinstance(value, str) or kind == "text/plain":
            continue
        is_picture = kind.startswith("image/") and kind != "image/svg+xml"
        if len(value) > (pictures - taken if is_picture else limit):
            del data[kind]
            # Half a page of HTML is none.
            data["text/plain"] = f"{_left_out(len(value), kind)}\n{data.get('text/plain', '')}"
        elif is_picture:
            taken += len(value)
        else:
            texts += len(value)
    if isinstance(data.get("text/plain"), str):
        data["text/plain"] = shortened(data["text/plain"], limit)
        texts += len(data["text/plain"])
    return texts, taken


def shortened(text: str, limit: int) -> str:
    """``text``, or its beginning and its end where it has more than ``limit`` characters.

    Example:
        >>> print(shortened("abcdefghij", 4))
        ab
        [6 characters are left out here; the executed notebook has them]
        ij
    """
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n{_left_out(len(text) - 2 * half)}\n{text[len(text) - half :]}"


def _left_out(count: int, kind: str = "") -> str:
    what = f" of {kind}" if kind else ""
    return f"[{count} characters{what} are left out here; the executed notebook has them]"
