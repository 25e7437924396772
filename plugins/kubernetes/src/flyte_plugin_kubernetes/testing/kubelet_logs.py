"""The address at which an API server asks a node for the logs of its containers."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.testing.kubelet import Kubelet

#: The ways in which clients write it.
_TRUE = ("true", "True", "TRUE", "1", "t", "T")
_HANDSHAKE = b"\x16"


class LogServer(ThreadingHTTPServer):
    """Serves ``/containerLogs/<namespace>/<pod>/<container>``, in the clear and, for a real API server, by TLS."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, kubelet: Kubelet) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kubelet = kubelet
        self.port: int = self.server_address[1]
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, name="kubelet logs", daemon=True
        )

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends."""
        self.shutdown()
        self.server_close()
        self._thread.join(timeout=5)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Speaks TLS with whoever begins so."""
        if request.recv(1, socket.MSG_PEEK) != _HANDSHAKE:
            super().finish_request(request, client_address)
            return
        with self._tls().wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader who goes away is no error."""

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = _self_signed(self.kubelet.root)
            return self._context


def _self_signed(folder: Path) -> ssl.SSLContext:
    key, certificate = folder / "tls.key", folder / "tls.crt"
    openssl = shutil.which("openssl")
    if openssl is None:
        raise OSError("logs of containers for a real API server need the program openssl, for a certificate")
    about = ["-days", "7", "-subj", "/CN=node", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        *about,
        "-keyout",
        f"{key}",
        "-out",
        f"{certificate}",
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LogServer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        parsed = urllib.parse.urlsplit(self.path)
        query = {name: values[-1] for name, values in urllib.parse.parse_qs(parsed.query).items()}
        match [urllib.parse.unquote(part) for part in parsed.path.split("/") if part]:
            case ["containerLogs", namespace, pod, container]:
                self._logs(namespace, pod, container, query)
            case _:
                self._refuse(404, "404 page not found")

    def _logs(self, namespace: str, pod: str, container: str, query: dict[str, str]) -> None:
        record = self.server.kubelet.record(namespace, pod, container)
        if record is None:
            self._refuse(404, f'pods "{pod}" not found')
            return
        previous = query.get("previous") in _TRUE
        process = record.previous if previous else record.process
        if process is None:
            about = record.state.get("waiting", {}).get("reason", "ContainerCreating")
            words = {"ImagePullBackOff": "trying and failing to pull image", "ErrImagePull": "image can't be pulled"}
            text = f'container "{container}" in pod "{pod}" is waiting to start: {words.get(about, about)}'
            if previous:
                text = f'previous terminated container "{container}" in pod "{pod}" not found'
            if record.terminated and not previous:
                text = f"unable to retrieve container logs for {record.status()['containerID']}"
            self._refuse(400, text)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        since = query.get("sinceTime", "").replace("+00:00", "Z")
        if query.get("sinceSeconds"):
            import datetime as dt

            begin = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=int(query["sinceSeconds"]))
            since = begin.strftime("%Y-%m-%dT%H:%M:%S")
        follow = query.get("follow") in _TRUE
        if not follow and not process.running:
            process.log.wait_for_end(1.0)
        chunks = process.log.read(
            follow=follow,
            since=since.rstrip("Z"),
            tail=int(query["tailLines"]) if query.get("tailLines") else None,
            stamps=query.get("timestamps") in _TRUE,
            limit=int(query["limitBytes"]) if query.get("limitBytes") else None,
        )
        for chunk in chunks:
            if chunk:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, code: int, text: str) -> None:
        raw = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
