"""An API server that only ever gives answers it was told: for faults that a real one cannot be brought to."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any

JSON, TEXT = "application/json", "text/plain"


@dataclass
class Answers:
    """The answers one after the other, the last one for ever; None hangs up. `asked` holds the paths, and of a proxy
    the servers that it was to lead to."""

    url: str
    queue: list[tuple[int, str, str] | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def give(self, content: dict[str, Any] | str, code: int = 200) -> None:
        """Add an answer: JSON, or text as a proxy or a server without such a path would give."""
        body, kind = (content, TEXT) if isinstance(content, str) else (json.dumps(content), JSON)
        self.queue.append((code, kind, body))

    def hang_up(self) -> None:
        """Add a connection that is closed without a word."""
        self.queue.append(None)

    def kubeconfig(self, folder: Path) -> str:
        """A kubeconfig that leads here."""
        return write_kubeconfig(folder, self.url)


@contextmanager
def answering(certificate: tuple[Path, Path] | None = None) -> Iterator[Answers]:
    """Serve on a free port. As a proxy, answer in place of any server, by HTTPS with this certificate and its key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.asked.append(self.path)
            answer = answers.queue.pop(0) if len(answers.queue) > 1 else answers.queue[0]
            if answer is None:
                return
            code, kind, body = answer
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_CONNECT(self) -> None:
            """A tunnel, and at the other end of it again this server."""
            assert certificate is not None
            answers.asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*certificate)
            with suppress(OSError):  # the client does not trust it
                self.connection = context.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = (self.connection.makefile(mode, buffering=0) for mode in ("rb", "wb"))
                self.handle_one_request()
                self.connection.close()
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        answers = Answers(f"http://127.0.0.1:{server.server_address[1]}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield answers
        server.shutdown()
        thread.join()


def write_kubeconfig(
    folder: Path, server: str, *, namespace: str = "", cluster: Mapping[str, Any] = MappingProxyType({}), **user: Any
) -> str:
    """A kubeconfig with one context, `here`, further fields of its cluster, and the fields of its user."""
    context = {"cluster": "c", "user": "u"} | ({"namespace": namespace} if namespace else {})
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "here", "context": context}],
        "current-context": "here",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return str(path)
