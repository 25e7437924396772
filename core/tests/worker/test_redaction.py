"""Values are found in whatever was made of them, wherever it was cut; and nothing else is touched."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import textwrap
from urllib.parse import quote, quote_plus

import pytest
from flytepath.engine.secrets.redaction import LIMIT, PIECE, Redactor
from hypothesis import example, given
from hypothesis import strategies as st

VALUE = "s3cr3t/\"pass'<word>&\\ é+1"
MARK = "[secret db.password]"

SHAPES = {
    "itself": VALUE,
    "in a sentence": f"log in with {VALUE}, now",
    "JSON": json.dumps({"a": [VALUE]}),
    "JSON without escapes": json.dumps({"a": VALUE}, ensure_ascii=False),
    "JSON in JSON": json.dumps(json.dumps({"a": VALUE})),
    "repr": repr({"pass": VALUE}),
    "bytes": repr(VALUE.encode()),
    "URL": f"https://user:{quote(VALUE, safe='')}@db",
    "a path of a URL": quote(VALUE),
    "a form": f"p={quote_plus(VALUE)}",
    "URL in small letters": "".join(
        part.lower() if part[:1] == "%" else part for part in re.split("(%..)", quote(VALUE, safe=""))
    ),
    "HTML": f"<b>{html.escape(VALUE)}</b>",
    "HTML but for quotes": html.escape(VALUE, quote=False),
    "repr in HTML": html.escape(repr(VALUE)),
    "a shell": shlex.join(["login", VALUE]),
    "base64": base64.b64encode(VALUE.encode()).decode(),
    "base64 of a header": base64.b64encode(f"user:{VALUE}".encode()).decode(),
    "base64 one further": base64.b64encode(f"user1:{VALUE}:more".encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(b"\xfb" + VALUE.encode()).decode(),
    "base64 in lines": base64.encodebytes(b"x" * 70 + VALUE.encode() * 3).decode(),
    "hexadecimal": VALUE.encode().hex(),
    "hexadecimal in capitals": VALUE.encode().hex().upper(),
    "broken over lines": "\n".join(textwrap.wrap(VALUE, 5, drop_whitespace=False)),
}


def of(*values: str, label: str = "db.password") -> Redactor:
    redactor = Redactor()
    for value in values:
        assert redactor.add(label, value.encode())
    return redactor


@pytest.mark.parametrize("shape", SHAPES)
def test_a_value_is_found_however_it_is_written(shape: str) -> None:
    found = of(VALUE).text(SHAPES[shape])
    assert MARK in found
    for part in ("s3cr3t", "word", "czNjcjN0", "7333637233"):
        assert part not in found.replace(MARK, "")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_wide_text_is_found(encoding: str) -> None:
    data = f"say {VALUE}!".encode(encoding)
    assert VALUE.encode(encoding) not in of(VALUE).scrub(data)


def test_what_holds_no_value_stays_as_it_is() -> None:
    redactor = of(VALUE)
    for data in (b"", b"\n", b"\xff\xfe\r\n s3cr3t and more", bytes(range(256)) * 3):
        assert redactor.scrub(data) == data
    assert redactor.text("\udcff lone") == "\udcff lone"
    assert redactor.json({"a": [1, None, True, "x"]}) == {"a": [1, None, True, "x"]}


def test_values_in_plain_data_are_found_in_keys_too() -> None:
    assert of("swordfish").json({"swordfish": [{"a": "a swordfish"}]}) == {MARK: [{"a": f"a {MARK}"}]}


def test_white_space_around_a_value_does_not_hide_it() -> None:
    assert of("  swordfish\n").text("a swordfish!") == f"a {MARK}!"


def test_too_short_a_value_is_left_alone() -> None:
    redactor = Redactor()
    assert not redactor.add("pin", b"123")
    assert not redactor.add("pin", b"  1 \n")
    assert not redactor
    assert redactor.text("123") == "123"


def test_lines_of_a_key_are_found_one_by_one() -> None:
    lines = ["MIIEvQIBADANBgkqhkiG9w0B", "AQEFAASCBKcwggSjAgEAAoIB", "short"]
    key = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----"])
    redactor = of(key)
    assert redactor.text(key) == f"{MARK}\n\n\n\n"
    assert redactor.text(f"at {lines[1]}") == f"at {MARK}"
    assert redactor.text("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


def test_a_long_value_is_found_whole_and_in_pieces() -> None:
    value = "".join(f"{number:08x}" for number in range(PIECE // 4))
    assert of(value).text(f"<{value}>") == f"<{MARK}{MARK}>"


def test_values_that_overlap_are_one() -> None:
    redactor = Redactor()
    redactor.add("short", b"abcdef")
    redactor.add("long", b"defghijk")
    assert redactor.text("-abcdefghijk-") == "-[secret long]-"


@pytest.mark.parametrize(
    ("value", "mark"), [("password", "[secret]"), ("secret", "[***]"), ("[***]", MARK), ("[secret]", MARK)]
)
def test_a_mark_never_holds_the_value(value: str, mark: str) -> None:
    found = of(value).text(f"it is {value}.")
    assert found == f"it is {mark}."
    assert of(value).text(found).count("[") <= 2


def test_a_name_cannot_break_the_log() -> None:
    assert of("swordfish", label='a\nb<script>"').text("swordfish") == "[secret a_b_script__]"


def test_of_very_many_values_the_latest_are_found() -> None:
    redactor = Redactor()
    for number in range(LIMIT + 1):
        redactor.add(f"n{number}", f"value-{number:04}-".encode())
    assert redactor.text("value-0000- value-0001-") == "value-0000- [secret n1]"


words = st.text('ab\n"é', min_size=0, max_size=40)


@given(value=st.text('ab"é', min_size=4, max_size=9), text=words, cuts=st.lists(st.integers(1, 5), min_size=1))
@example(value="abab", text="ababab", cuts=[1])
@example(value="aaaa", text="aaaaaaaaa", cuts=[2])
@example(value="abab", text="ab\nab", cuts=[3])
def test_no_cut_hides_a_value(value: str, text: str, cuts: list[int]) -> None:
    redactor = of(value, label="x")
    data, told, held, at, turn = (text + value + text).encode(), b"", b"", 0, 0
    while at < len(data):
        step = cuts[turn % len(cuts)]
        said, held = redactor.split(held + data[at : at + step], whole=False)
        told += said
        at, turn = at + step, turn + 1
    told += redactor.scrub(held)
    assert value.encode() not in told.replace(b"[secret x]", b"#").translate(None, b"\r\n")
    assert b"[secret x]" in told


@given(text=st.binary(max_size=200), cut=st.integers(0, 200))
def test_what_is_held_back_comes_in_the_end(text: bytes, cut: int) -> None:
    redactor = of("a value that is not in there")
    told, held = redactor.split(text[:cut], whole=False)
    more, rest = redactor.split(held + text[cut:], whole=False)
    assert told + more + redactor.scrub(rest) == text


def test_a_value_repeated_without_end_is_not_held_back_for_ever() -> None:
    redactor = of("aaaa")
    held, longest = b"", 0
    for _ in range(8):
        _, held = redactor.split(held + b"a" * 100_000, whole=False)
        longest = max(longest, len(held))
    assert longest < 400_000
