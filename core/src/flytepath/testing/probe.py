"""The kit's other process: looks at a manifest, or encodes a test class's samples, in an interpreter of its own.

Started as ``python -P -m flytepath.testing.probe`` with one JSON request on stdin; answers with one JSON object on the
stdout it was given. What the plugin itself prints goes to stderr.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

Json = Any
DEADLINE_SECONDS = 300.0


class ProbeError(Exception):
    """The other process did not answer; the text is what it left on stderr."""


def ask(request: Mapping[str, Json], *, hash_seed: int = 0, deadline: float = DEADLINE_SECONDS) -> dict[str, Json]:
    """Run one request in another interpreter with the same ``sys.path``.

    Args:
        request: ``{"ask": "manifest" | "samples", ...}``.
        hash_seed: its ``PYTHONHASHSEED``.
        deadline: seconds after which it is ended.

    Raises:
        ProbeError: it ended without an answer, or not in time.
    """
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "flytepath.testing.probe"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            env=environment,
            timeout=deadline,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeError(f"no answer within {deadline:g} s") from error
    if done.returncode or not done.stdout:
        raise ProbeError(done.stderr.strip() or f"the interpreter ended with status {done.returncode}")
    answer: dict[str, Json] = json.loads(done.stdout)
    return answer


def load_class(module: str, file: str, qualname: str) -> Any:
    """A class of a test module, found by its name, or by its file where tests are not importable by name."""
    loaded: ModuleType | None = None
    with suppress(ImportError):
        found = importlib.import_module(module)
        if os.path.realpath(getattr(found, "__file__", None) or "") == os.path.realpath(file):
            loaded = found
    if loaded is None:
        spec = importlib.util.spec_from_file_location(module, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot load {file}")
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[module] = loaded
        spec.loader.exec_module(loaded)
    target: Any = loaded
    for part in qualname.split("."):
        target = getattr(target, part)
    return target


def _timed_import(name: str) -> float:
    started = time.perf_counter()
    importlib.import_module(name)
    return time.perf_counter() - started


def _declarations(manifest: ModuleType) -> Iterator[tuple[str, Any]]:
    from flytepath.plugin.hookspecs import DECLARATION_OF

    for hook in DECLARATION_OF:
        implementation = getattr(manifest, hook, None)
        if implementation is None:
            continue
        for declaration in implementation():
            yield hook, declaration


def _pluggy_story(manifest: ModuleType) -> dict[str, Json]:
    """What a scratch manager says of the manifest, and what is left once it is unregistered."""
    import pluggy

    from flytepath.plugin import hookspecs
    from flytepath.plugin.hookimpl import PROJECT

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    problem = ""
    try:
        manager.register(manifest)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError, AttributeError) as error:
        problem = str(error)
    callers = manager.get_hookcallers(manifest) or []
    implemented = sorted(caller.name for caller in callers)
    if manager.is_registered(manifest):
        manager.unregister(manifest)
    left = [name for name in hookspecs.DECLARATION_OF if getattr(manager.hook, name).get_hookimpls()]
    unmarked = sorted(
        name for name in vars(manifest) if name.startswith(f"{PROJECT}_") and callable(getattr(manifest, name))
    )
    return {
        "problem": problem,
        "implemented": implemented,
        "left": left,
        "unmarked": [name for name in unmarked if name not in implemented],
    }


def _manifest(request: Mapping[str, Json]) -> dict[str, Json]:
    from flytepath.plugin import references
    from flytepath.plugin.hookspecs import DECLARATION_OF
    from flytepath.testing.process_state import differences, snapshot

    preloaded = []
    for name in request.get("preload", ()):
        with suppress(Exception):
            importlib.import_module(name)
            preloaded.append(name)
    reference_seconds = _timed_import("flytepath.testing.reference_manifest")
    before, known = snapshot(), set(sys.modules)
    started = time.perf_counter()
    manifest = importlib.import_module(request["module"])
    collected = list(_declarations(manifest))
    seconds = time.perf_counter() - started
    imported = [name for name in sys.modules if name not in known]
    after_manifest = snapshot()
    wrong = [
        f"{hook} returned a {type(declaration).__name__}, not a {DECLARATION_OF[hook].__name__}"
        for hook, declaration in collected
        if not isinstance(declaration, DECLARATION_OF[hook])
    ]
    plain: list[tuple[str, dict[str, Json]]] = []
    if not wrong:
        plain = [(hook, dataclasses.asdict(declaration)) for hook, declaration in collected]
    answer: dict[str, Json] = {
        "seconds": seconds,
        "reference_seconds": reference_seconds,
        "imported": imported,
        "declarations": json.dumps(plain),
        "wrong": wrong,
        "changed_by_manifest": differences(before, after_manifest),
        "file": getattr(manifest, "__file__", None) or "",
    }
    if request.get("resolve"):
        before_resolving = snapshot()
        answer["findings"] = [
            finding for hook, fields in plain for finding in references.check_declaration(hook, fields)
        ]
        answer["changed_by_resolving"] = differences(before_resolving, snapshot())
        answer["type_names"] = _type_names(plain)
        answer["imported_by_resolving"] = [name for name in sys.modules if name not in known]
        answer["pluggy"] = _pluggy_story(manifest)
    return answer


def _type_names(plain: Sequence[tuple[str, dict[str, Json]]]) -> list[Json]:
    from flytepath.plugin import references

    found: list[Json] = []
    for hook, fields in plain:
        for field in references.TYPE_NAMES.get(hook, ()):
            value = fields[field]
            names = [value] if isinstance(value, str) else list(value)
            found += [[hook, names, name, references.defining_name(name)] for name in names]
    return found


def _samples(request: Mapping[str, Json]) -> dict[str, Json]:
    test_class = load_class(request["module"], request["file"], request["qualname"])
    return {"stable": test_class().stable_forms()}


def main() -> None:
    """Answer the one request on stdin."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    handlers = {"manifest": _manifest, "samples": _samples}
    try:
        result = handlers[request["ask"]](request)
    except Exception:  # noqa: BLE001 - the asking process reports it
        traceback.print_exc()
        sys.exit(1)
    with answer:
        json.dump(result, answer)
    # A plugin may have left a thread running; the answer is out, so nothing is lost by not waiting for it.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
