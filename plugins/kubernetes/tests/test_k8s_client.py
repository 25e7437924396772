"""The client: credentials that change, how many requests are under way at once, and what is no answer."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import k8s_backends as backends
import pytest
from flyte_plugin_kubernetes.api_errors import ApiAnswerError, backend_error
from flyte_plugin_kubernetes.backend import KubernetesBackend
from flyte_plugin_kubernetes.settings import KubernetesSettings
from flyte_plugin_kubernetes.testing import ApiServer
from flytepath.plugin import BackendError, ErrorClass, Handle
from flytepath.testing import run_unblocked


def with_plugin(server: ApiServer, folder: Path, expires: str) -> tuple[KubernetesBackend, Path]:
    """A backend whose credentials come of a program, and the file in which that program finds its token."""
    token = folder / "token"
    program = folder / "program.py"
    program.write_text(
        "import json\n"
        f"status = {{'token': open({str(token)!r}).read(), 'expirationTimestamp': {expires!r}}}\n"
        "answer = {'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', 'status': status}\n"
        "print(json.dumps(answer))\n"
    )
    given = backends.settings(server, folder)
    path = Path(given.kubeconfig)
    config = json.loads(path.read_text())
    version = "client.authentication.k8s.io/v1"
    config["users"][0]["user"] = {
        "exec": {"apiVersion": version, "command": sys.executable, "args": [str(program)], "interactiveMode": "Never"}
    }
    path.write_text(json.dumps(config))
    return KubernetesBackend(given), token


def submit(backend: KubernetesBackend) -> Handle:
    return run_unblocked(backend.submit(backend.plan(backends.request())))


def test_a_token_that_has_expired_is_fetched_again(api_server: ApiServer, tmp_path: Path) -> None:
    backend, token = with_plugin(api_server, tmp_path, "2001-01-01T00:00:00Z")
    token.write_text(api_server.add_user("first"))
    submit(backend)
    second = api_server.add_user("second")
    api_server.access.revoke(token.read_text())
    token.write_text(second)
    submit(backend)


def test_a_token_that_is_refused_is_fetched_again_by_the_next_call(api_server: ApiServer, tmp_path: Path) -> None:
    backend, token = with_plugin(api_server, tmp_path, "2999-01-01T00:00:00Z")
    token.write_text(api_server.add_user("first"))
    submit(backend)
    second = api_server.add_user("second")
    api_server.access.revoke(token.read_text())
    token.write_text(second)
    with pytest.raises(BackendError) as error:
        submit(backend)
    assert error.value.error_class is ErrorClass.AUTH
    submit(backend)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; print('no login', file=sys.stderr); sys.exit(3)", "process returned 3. no login"),
        ("print('{}')", "apiVersion"),
        (None, "no-such-program"),
    ],
)
def test_a_credential_plugin_that_fails_is_what_the_error_says(
    api_server: ApiServer, tmp_path: Path, capfd: pytest.CaptureFixture[str], program: str | None, said: str
) -> None:
    backend, token = with_plugin(api_server, tmp_path, "2999-01-01T00:00:00Z")
    token.write_text(api_server.add_user("one"))
    if program is None:
        path = Path(backend.settings.kubeconfig)
        path.write_text(path.read_text().replace(sys.executable, "no-such-program"))
    else:
        (tmp_path / "program.py").write_text(program)
    for _ in range(2):
        with pytest.raises(BackendError) as error:
            submit(backend)
        assert error.value.error_class is ErrorClass.AUTH
        assert error.value.accepted is False
        assert "the credential plugin failed" in error.value.message
        assert said in error.value.message
    assert not any(capfd.readouterr())


def test_a_credential_plugin_that_fails_later_is_not_answered_by_an_old_token(
    api_server: ApiServer, tmp_path: Path
) -> None:
    backend, token = with_plugin(api_server, tmp_path, "2001-01-01T00:00:00Z")
    token.write_text(api_server.add_user("first"))
    submit(backend)
    (tmp_path / "program.py").write_text("import sys; print('no login', file=sys.stderr); sys.exit(3)")
    with pytest.raises(BackendError, match=r"the credential plugin failed: .*no login"):
        submit(backend)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    where = re.escape(str(tmp_path / ".kube" / "config"))
    with pytest.raises(BackendError, match=rf"there is no kubeconfig at {where} \(neither"):
        submit(KubernetesBackend(KubernetesSettings()))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    with pytest.raises(BackendError, match=r"/a, .*/b \(KUBECONFIG\)"):
        submit(KubernetesBackend(KubernetesSettings()))
    with pytest.raises(BackendError, match="the backend's settings") as error:
        submit(KubernetesBackend(KubernetesSettings(kubeconfig="~/elsewhere")))
    assert str(tmp_path / "elsewhere") in error.value.message


def test_no_more_requests_are_under_way_than_the_settings_say(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path, connections=1)
    plans = [backend.plan(backends.request()) for _ in range(8)]

    async def act() -> list[Handle]:
        return list(await asyncio.gather(*(backend.submit(plan) for plan in plans)))

    assert len(set(run_unblocked(act()))) == 8


def test_a_backend_that_was_closed_can_be_used_again(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path)
    for _ in range(2):
        submit(backend)
        run_unblocked(backend.close())


def test_no_secret_of_the_credentials_is_told(api_server: ApiServer, tmp_path: Path) -> None:
    backend = backends.pods(api_server, tmp_path, token="swordfish")
    with pytest.raises(BackendError) as error:
        submit(backend)
    assert "swordfish" not in f"{error.value!r} {error.value} {error.value.__cause__!r} {vars(backend)!r}"


def status(code: int, message: str, reason: str = "", **more: Any) -> ApiAnswerError:
    return ApiAnswerError(code, json.dumps({"kind": "Status", "reason": reason, "message": message, **more}))


@pytest.mark.parametrize(
    ("answer", "error_class", "accepted"),
    [
        (status(400, "no"), ErrorClass.INVALID, False),
        (status(401, "Unauthorized"), ErrorClass.AUTH, False),
        (status(403, 'pods is forbidden: User "u" cannot create resource "pods"'), ErrorClass.AUTH, False),
        (status(403, 'pods "a" is forbidden: exceeded quota: q'), ErrorClass.QUOTA_EXCEEDED, False),
        (status(403, 'pods "a" is forbidden: violates PodSecurity "restricted"'), ErrorClass.INVALID, False),
        (status(403, 'pods "a" is forbidden: maximum cpu usage per Pod is 2'), ErrorClass.INVALID, False),
        (status(403, 'admission webhook "x" denied the request: no'), ErrorClass.INVALID, False),
        (
            status(
                403,
                "unable to create new content in namespace n because it is being terminated",
                details={"causes": [{"reason": "NamespaceTerminating"}]},
            ),
            ErrorClass.INVALID,
            False,
        ),
        (status(404, 'namespaces "n" not found', details={"kind": "namespaces"}), ErrorClass.INVALID, False),
        (ApiAnswerError(404, "404 page not found"), ErrorClass.INVALID, False),
        (status(409, "exists", "AlreadyExists"), ErrorClass.CONFLICT, False),
        (status(409, "modified", "Conflict"), ErrorClass.TRANSIENT, False),
        (status(410, "expired", "Expired"), ErrorClass.TRANSIENT, False),
        (status(413, "too large"), ErrorClass.INVALID, False),
        (status(422, "invalid", "Invalid"), ErrorClass.INVALID, False),
        (ApiAnswerError(429, "slow down", 3.0), ErrorClass.THROTTLED, False),
        (status(500, "etcdserver: request timed out"), ErrorClass.UNAVAILABLE, None),
        (status(500, 'failed calling webhook "x": connection refused'), ErrorClass.UNAVAILABLE, False),
        (ApiAnswerError(502, "<html>bad gateway</html>"), ErrorClass.UNAVAILABLE, None),
        (ApiAnswerError(503, "", 5.0), ErrorClass.UNAVAILABLE, None),
        (status(504, "timeout", "Timeout"), ErrorClass.UNAVAILABLE, None),
        (ApiAnswerError(302, "go elsewhere"), ErrorClass.PROTOCOL, False),
    ],
)
def test_every_refusal_says_who_is_to_blame(
    answer: ApiAnswerError, error_class: ErrorClass, accepted: bool | None
) -> None:
    error = backend_error(answer, what="creating Pod n/a", operator="", namespace="n")
    assert (error.error_class, error.accepted, error.retry_after) == (error_class, accepted, answer.retry_after)
    assert error.message.startswith("creating Pod n/a: ")


def test_an_answer_that_is_no_object_is_trouble_of_the_service(tmp_path: Path) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Portal(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"<html")

        def log_message(self, *_: Any) -> None:
            pass

    with ApiServer() as server:
        given = backends.settings(server, tmp_path)
    portal = HTTPServer(("127.0.0.1", 0), Portal)
    threading.Thread(target=portal.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        config = json.loads(Path(given.kubeconfig).read_text())
        config["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{portal.server_address[1]}"
        Path(given.kubeconfig).write_text(json.dumps(config))
        with pytest.raises(BackendError) as error:
            submit(KubernetesBackend(KubernetesSettings(kubeconfig=given.kubeconfig, namespace="jobs")))
        assert error.value.accepted is None
    finally:
        portal.shutdown()
        portal.server_close()


def test_the_backend_on_the_page_works(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "kubernetes-jobs.md"
    if not page.exists():
        pytest.skip("the documentation is not beside the package")
    code = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, str(page), "exec"), names)
    plan = names["GangBackend"](KubernetesSettings()).plan(backends.request())
    assert (plan.spec["kind"], plan.spec["spec"]["members"]) == ("Gang", 4)
    assert plan.spec["spec"]["template"]["metadata"]["labels"]["flytepath.org/execution"] == "e1"
