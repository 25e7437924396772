"""Does a secret stay where it is used, and does nothing hold up the event loop?"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import traceback
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from flytepath.plugin.backend import BackendError, ErrorClass
from flytepath.testing.backend_conformance.scene import Scene, scenario
from flytepath.testing.backend_conformance.stage import Stage
from flytepath.testing.backend_conformance.vendor import CannotDo, Course
from flytepath.testing.blocking import refuse_blocking, watch_loop
from flytepath.testing.findings import refuse


class DiscretionChecks(Stage):
    """The checks that look at everything the backend lets out, and at what it does on the loop."""

    @scenario
    async def test_no_secret_is_ever_told(self, scene: Scene) -> None:
        """No secret stands in a plan, handle, observation, literal, blob, log line, error or ``repr``."""
        with _logged() as lines:
            await _a_whole_life(scene)
            errors = [await self._refused(scene), *await self._in_trouble(scene)]
            if not scene.secrets:
                self.skip("the backend has asked for no secret")
            told: list[tuple[str, str]] = [
                *((f"what the backend returned ({type(item).__name__})", _text(item)) for item in scene.told),
                *((f"the error {type(error).__name__}", _trace(error)) for error in errors if error is not None),
                *(("a blob", blob.decode("latin-1")) for blob in scene.blobs.contents.values()),
                ("repr(backend)", f"{scene.backend!r} {vars(scene.backend)!r}"),
                *(("the log", line) for line in lines),
            ]
        for secret in scene.secrets:
            for where, text in told:
                if any(form in text for form in _forms(secret)):
                    refuse(
                        f"a secret stands in {where}",
                        place=scene.place(""),
                        expected="references only",
                        actual=text.replace(secret.decode("latin-1"), "<the secret>")[:300],
                        hint="ask self.secret(...) right before the call, keep it in no attribute, and put neither "
                        "requests nor headers into messages",
                    )

    @scenario
    async def test_credentials_that_are_refused_are_told_as_such(self, scene: Scene) -> None:
        """Bad credentials are the error class ``AUTH``, and good ones are taken up without a restart."""
        plan = scene.plan()
        await scene.vendor_does(scene.vendor.reject_credentials, True)
        error = await self._caught(scene, plan)
        if error is None or error.error_class is not ErrorClass.AUTH or error.accepted is not False:
            refuse(
                "credentials were refused, and submit() does not say so",
                place=scene.place("submit"),
                expected="BackendError(error_class=auth, accepted=False)",
                actual=repr(error) if error is None else f"{error.error_class.value}, accepted={error.accepted}",
                hint="map 401 and 403 to auth: it is not retried, and somebody is told",
            )
        await scene.vendor_does(scene.vendor.reject_credentials, False)
        handle = await scene.submit(plan)
        await scene.cancelled(plan.key, handle)

    def test_nothing_blocks_the_event_loop(self) -> None:
        """In a whole life of jobs no call on the loop's thread waits for a file, a socket, a process or a thread."""

        async def act(scene: Scene) -> None:
            with watch_loop() as seen:
                await _a_whole_life(scene)
            refuse_blocking(seen)

        self.play(act)

    # --- how it is done ---

    async def _refused(self, scene: Scene) -> BackendError | None:
        with contextlib.suppress(CannotDo):
            await scene.vendor_does(scene.vendor.reject_credentials, True)
            error = await self._caught(scene, scene.plan())
            await scene.vendor_does(scene.vendor.reject_credentials, False)
            return error
        return None

    async def _in_trouble(self, scene: Scene) -> list[BackendError | None]:
        found: list[BackendError | None] = []
        for fault in (scene.vendor.refuse_submit, scene.vendor.cut_off_after_accept):
            with contextlib.suppress(CannotDo):
                await scene.vendor_does(fault)
                found.append(await self._caught(scene, scene.plan()))
        return found

    async def _caught(self, scene: Scene, plan: Any) -> BackendError | None:
        try:
            await scene.submit(plan)
        except BackendError as error:
            return error
        return None


async def _a_whole_life(scene: Scene) -> None:
    """Every call of the contract, once or more."""
    ending, running = scene.plan(Course.ENDS), scene.plan()
    await scene.find(ending)
    first, second = await scene.submit(ending), await scene.submit(running)
    await scene.poll([first, second])
    await scene.find(running)
    await scene.owned()
    await scene.ended(first)
    await scene.collect(first)
    await scene.call("logs", scene.backend.logs(first))
    await scene.call("cleanup", scene.backend.cleanup(ending.key, first))
    await scene.cancelled(running.key, second)


@contextlib.contextmanager
def _logged() -> Iterator[list[str]]:
    """Everything that is logged meanwhile, at every level, by everybody."""
    lines: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.getMessage()} {record.exc_info or ''} {vars(record)!r}")

    root, handler = logging.getLogger(), Keeping()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def _forms(secret: bytes) -> set[str]:
    """How a secret may look where it leaks: as it is, quoted for JSON or a URL, or encoded."""
    text = secret.decode("latin-1")
    encoded = base64.b64encode(secret).decode()
    return {text, quote(text), json.dumps(text)[1:-1], encoded, secret.hex()}


def _text(item: Any) -> str:
    return f"{item!r} {item} {_trace(item) if isinstance(item, BaseException) else ''}"


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(vars(error))


def secrets_told(texts: Iterable[tuple[str, str]], secrets: Iterable[bytes]) -> list[str]:
    """The places, of (place, text) pairs, where one of the secrets stands."""
    return [where for where, text in texts for secret in secrets if any(form in text for form in _forms(secret))]
