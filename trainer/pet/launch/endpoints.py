"""The launcher's one port: `/metrics`, `/status` and `/healthz`."""

from __future__ import annotations

import errno
import json
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from pet.config import ConfigError, JobEnvironment
from pet.config.environment import DEFAULT_METRICS_PORT
from pet.launch.collector import TrainCollector
from pet.launch.plan import Plan
from pet.launch.record import Record
from pet.launch.status import Clock, status_document
from pet.launch.talk import say

_PORTS_TRIED = 100
# At a time. Each takes a file descriptor of the launcher, which needs some to start ranks again.
_CONNECTIONS = 64
# By hand, and in a job file.
_NAMES = "PETJOB_METRICS_PORT or spec.metrics.port"

# Accept header → content type, body
Page = Callable[[str], tuple[str, str | bytes]]


class Endpoints:
    """Opened before the plan's ranks are; pages are added with `serve`."""

    def __init__(self, environment: JobEnvironment) -> None:
        """Bind the port: the one that is asked for, else 9400 or the next free one. Raises ConfigError."""
        self._server = _bind(environment)
        self.port = int(self._server.server_address[1])

    def serve(self, plan: Plan, record: Record) -> None:
        """Answer requests from now on, in threads of their own."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(TrainCollector(plan, record))

        def metrics(accept: str) -> tuple[str, str | bytes]:
            encode, content_type = choose_encoder(accept)
            return content_type, encode(registry)

        def status(_accept: str) -> tuple[str, str | bytes]:
            document = status_document(plan, record.snapshot(), Clock.now())
            return "application/json", json.dumps(document, allow_nan=False) + "\n"

        def healthz(_accept: str) -> tuple[str, str | bytes]:
            return "text/plain", "ok\n"

        self._server.pages = {"/metrics": metrics, "/status": status, "/healthz": healthz}
        threading.Thread(target=self._server.serve_forever, name="endpoints", daemon=True).start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self.pages: dict[str, Page] = {}
        self._connections: dict[socket.socket, None] = {}  # open ones, the oldest first
        self._lock = threading.Lock()
        self._told: set[type[object]] = set()

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        """Where there are too many, the one that has said nothing useful for longest makes room: an answer takes
        milliseconds."""
        with self._lock:
            self._connections[request] = None
            oldest = next(iter(self._connections))
            if len(self._connections) > _CONNECTIONS:
                del self._connections[oldest]
                with suppress(OSError):  # its client may have hung up
                    oldest.shutdown(socket.SHUT_RDWR)  # its own thread closes it
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """It is answered, or given up."""
        with self._lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no error, and any other must not fill the log of the training: a kind is told once,
        for a client may ask the same again and again."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError) and type(error) not in self._told:
            self._told.add(type(error))
            say(f"a request to the metrics port failed: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0
    wbufsize = -1  # headers and body leave in one piece: a launcher that ends meanwhile leaves no half an answer

    def do_GET(self) -> None:
        """Answer with a page, 404 with the list of pages, or 500 with the error."""
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", f"there is: {', '.join(self.server.pages)}\n")
            return
        try:
            content_type, body = page(self.headers.get("Accept", ""))
        except Exception as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"{type(error).__name__}: {error}\n")
            raise
        self._answer(HTTPStatus.OK, content_type, body)

    def _answer(self, code: HTTPStatus, content_type: str, body: str | bytes) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes come every few seconds: nothing is logged."""


def _bind(environment: JobEnvironment) -> _Server:
    fixed = environment.metrics_port
    ports = [fixed] if fixed is not None else range(DEFAULT_METRICS_PORT, DEFAULT_METRICS_PORT + _PORTS_TRIED)
    for port in ports:
        try:
            return _Server((environment.bind_address, port))
        except (OSError, OverflowError) as error:
            if fixed is not None or not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
                where = f"{environment.bind_address or 'all addresses'}, port {port}"
                reason = error.strerror if isinstance(error, OSError) else error
                raise ConfigError.of(
                    _NAMES, f"cannot listen on {where} ({reason}): give another port, or none for the next free one"
                ) from error
    raise ConfigError.of(_NAMES, f"no free port from {ports[0]} to {ports[-1]}: give one")
