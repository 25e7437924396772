"""The report: Great Expectations' own page, made safe to show.

The library's page loads scripts and styles from elsewhere, and escapes some of what comes from the data and not the
rest. So the data goes through it in disguise (every character that means something to HTML or to its templates stands
for itself only afterwards), and of the page only known tags and attributes are kept.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Any, Final

from flyte_plugin_greatexpectations.result import ValidationResult

_log = logging.getLogger(__name__)

_SPECIAL: Final = "<>&\"'$`\n"
#: Private-use characters; the library has no use for them, and those in the data are replaced.
_DISGUISE: Final = {ord(char): chr(0xE000 + index) for index, char in enumerate(_SPECIAL)}
_REPLACED: Final = {0xE000 + index: "\ufffd" for index in range(len(_SPECIAL))}
_REVEAL: Final = {0xE000 + index: html.escape(char) for index, char in enumerate(_SPECIAL)}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KEPT: Final = _words(
    """
    a b br caption code dd div dl dt em h1 h2 h3 h4 h5 h6 hr i li ol p pre span strong sub sup
    table tbody td th thead tr ul
    """
)
_VOID: Final = _words("area base br col embed hr img input link meta param source track wbr")
#: Left out with everything inside.
_DROPPED: Final = _words(
    """
    applet audio button canvas footer form frame frameset head iframe label math nav noscript object
    script select style svg template textarea title video
    """
)
#: The library's side bar works by script only; its block on the run knows nothing that the headline does not say.
_DROPPED_CLASSES: Final = frozenset({"col-lg-2"})
_DROPPED_IDS: Final = frozenset({"section-1-content-block-3"})
_SPACE: Final = re.compile(r"\s+")
_ATTRIBUTES: Final = frozenset({"class", "id", "colspan", "rowspan", "hidden"})

_STYLE: Final = """\
<style>
.gx-report { font: 14px/1.45 system-ui, sans-serif; }
.gx-report table { border-collapse: collapse; margin: .4em 0 1em; }
.gx-report td, .gx-report th { border: 1px solid #8884; padding: .25em .6em; text-align: left; vertical-align: top; }
.gx-report .badge, .gx-report code { background: #8882; border-radius: 3px; padding: 0 .3em; }
.gx-report .fas { font-style: normal; font-weight: bold; }
.gx-report .text-success, .gx-report .met { color: #1a7f37; }
.gx-report .text-danger, .gx-report .missed { color: #cf222e; }
.gx-report .fa-check-circle::before { content: "\\2713"; } .gx-report .fa-times::before { content: "\\2717"; }
.gx-report .fa-exclamation-triangle::before { content: "!"; }
</style>
"""


def deck_of(
    suite: str,
    frame: str,
    result: ValidationResult,
    outcomes: Sequence[Mapping[str, Any]],
    actions: Sequence[str] = (),
) -> str:
    """The report as an HTML fragment without scripts and without references to anything outside it.

    Args:
        suite: the suite's name.
        frame: what was validated, in a few words.
        result, outcomes: what was found.
        actions: what came of the actions, a line each.
    """
    try:
        page = _render(suite, frame, result, outcomes)
    except Exception:  # noqa: BLE001 - a report that the library cannot draw must not hide what it would have said
        _log.warning("Great Expectations could not render its report of %s", suite, exc_info=True)
        page = ""
    cleaner = _Cleaner()
    cleaner.feed(page)
    cleaner.close()
    body = "".join(cleaner.output).translate(_REVEAL)
    return f'{_STYLE}<div class="gx-report">{_headline(suite, result, actions)}{body}</div>'


def _headline(suite: str, result: ValidationResult, actions: Sequence[str]) -> str:
    kind = "met" if result.success else "missed"
    lines = "".join(f"<li>{html.escape(failure.message)}</li>" for failure in result.failures)
    done = "".join(f"<li>{html.escape(line)}</li>" for line in actions)
    return (
        f'<h3>{html.escape(suite)}</h3><p class="{kind}">{html.escape(result.summary())}</p>'
        f"<ul>{lines}</ul><p>{html.escape(result.engine)}</p>" + (f"<p>Actions</p><ul>{done}</ul>" if done else "")
    )


def _render(suite: str, frame: str, result: ValidationResult, outcomes: Sequence[Mapping[str, Any]]) -> str:
    from great_expectations.core.expectation_validation_result import (
        ExpectationSuiteValidationResult,
        ExpectationValidationResult,
    )
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    results = []
    for outcome in outcomes:
        attributes = _disguised(outcome["attributes"])
        kwargs = _disguised(outcome["kwargs"])
        if "row_condition" in kwargs:
            # The library reads it again, so its operators must stand. It comes from the suite, not from the data.
            kwargs["row_condition"] = outcome["kwargs"]["row_condition"]
        message = _disguised("; ".join(outcome["errors"]))
        results.append(
            ExpectationValidationResult(
                success=outcome["success"],
                expectation_config=ExpectationConfiguration(type=outcome["type"], kwargs=kwargs, **attributes),
                result=_disguised(outcome["result"]),
                meta={},
                exception_info={
                    "raised_exception": bool(message),
                    "exception_message": message or None,
                    "exception_traceback": message or None,
                },
            )
        )
    found = ExpectationSuiteValidationResult(
        success=result.success,
        results=results,
        suite_name=_disguised(suite),
        statistics={
            "evaluated_expectations": result.evaluated,
            "successful_expectations": result.successful,
            "unsuccessful_expectations": result.failed,
            "success_percent": 100 * result.successful / result.evaluated,
        },
        meta={"batch_kwargs": {"data_asset_name": _disguised(frame)}},
    )
    return str(DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(found)))


def _disguised(value: Any) -> Any:
    if isinstance(value, str):
        return value.translate(_REPLACED).translate(_DISGUISE)
    if isinstance(value, dict):
        return {_disguised(key): _disguised(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_disguised(item) for item in value]
    return value


class _Cleaner(HTMLParser):
    """Keeps the known tags and attributes of a page, and balances them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.output: list[str] = []
        self._open: list[tuple[str, str]] = []
        self._dropping: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._dropping:
            if tag not in _VOID:
                self._dropping.append(tag)
            return
        given = {name: value or "" for name, value in attrs}
        classes = set(given.get("class", "").split())
        unwanted = classes & _DROPPED_CLASSES or given.get("id") in _DROPPED_IDS
        if tag in _DROPPED or unwanted or given.get("data-toggle") == "collapse":
            if tag not in _VOID:
                self._dropping.append(tag)
            return
        if tag not in _KEPT:
            return
        kept = {name: value for name, value in given.items() if name in _ATTRIBUTES}
        if given.get("href", "").startswith("#"):
            kept["href"] = given["href"]
        text = "".join(f' {name}="{html.escape(value)}"' for name, value in kept.items())
        if tag in _VOID:
            self.output.append(f"<{tag}{text}>")
        elif "collapse" in classes:
            self.output.append("<details><summary>More</summary>")
            self._open.append((tag, "</details>"))
        else:
            self.output.append(f"<{tag}{text}>")
            self._open.append((tag, f"</{tag}>"))

    def handle_endtag(self, tag: str) -> None:
        if self._dropping:
            if tag in self._dropping:
                while self._dropping.pop() != tag:
                    pass
            return
        if any(opened == tag for opened, _ in self._open):
            while True:
                opened, closing = self._open.pop()
                self.output.append(closing)
                if opened == tag:
                    return

    def handle_data(self, data: str) -> None:
        if not self._dropping:
            self.output.append(html.escape(_SPACE.sub(" ", data)))

    def close(self) -> None:
        super().close()
        self.output.extend(closing for _, closing in reversed(self._open))
        self._open.clear()
