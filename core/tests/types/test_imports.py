"""What is imported, and when, decides neither the cost of plain types nor the form of any value."""

from __future__ import annotations

import json
import subprocess
import sys


def run(code: str, *modules: str, **environment: str) -> str:
    lines = [f"import {module}" for module in modules]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*lines, code])],
        capture_output=True,
        text=True,
        env={**environment},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LITERALS = """
import datetime, decimal, json
from flytepath.testing import MemoryBlobs
from flytepath.types.engine import codec
blobs = MemoryBlobs()
cases = [(set[str], {"b", "a", "c"}), (int | str | None, 1), (datetime.date, datetime.date(2020, 1, 1)),
         (dict[str, decimal.Decimal], {"x": decimal.Decimal("1.0")}), (frozenset[int | str], frozenset({1, "a"}))]
print(json.dumps([codec(t).encode(value, blobs).to_json() for t, value in cases]))
"""


def test_the_literal_does_not_depend_on_import_order_or_hash_seed():
    outputs = {
        run(LITERALS, *modules, PYTHONHASHSEED=seed)
        for seed in ("1", "2")
        for modules in ((), ("decimal", "uuid", "fractions"), ("flytepath.types.unions", "flytepath.types.enums"))
    }
    assert len(outputs) == 1
    assert len(json.loads(outputs.pop())) == 5


def test_plain_types_import_nothing_heavy():
    heavy = (
        "pydantic",
        "sqlalchemy",
        "asyncio",
        "importlib.metadata",
        "datetime",
        "decimal",
        "numpy",
        "pandas",
        "pluggy",
    )
    code = f"""
import sys
from flytepath.types.engine import codec
codec(int), codec(str)
print([name for name in {heavy!r} if name in sys.modules])
"""
    assert run(code).strip() == "[]"


def test_a_frame_type_is_known_without_importing_its_library_first():
    code = """
import sys
from flytepath.types.lookup import transformer_for_class
frame = type("DataFrame", (), {"__module__": "pandas"})
print(type(transformer_for_class(frame)).__name__, "pandas" in sys.modules, "pyarrow" in sys.modules)
"""
    assert run(code).strip() == "FrameTransformer False False"
