"""A small data set to be fetched, a Debian package of it, and a real server that can be told to misbehave."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pet.data.fetch.registry import DebianPackage, RemoteDataset, RemoteFile

CONTENTS = {"train-images-idx3-ubyte": b"images " * 1000, "train-labels-idx1-ubyte": b"labels " * 10}
ARCHIVES = {f"{name}.gz": gzip.compress(content) for name, content in CONTENTS.items()}
PACKAGE_FOLDER = "usr/share/datasets/small"


def small_dataset(host: str = "http://nowhere.invalid", package: bytes = b"") -> RemoteDataset:
    """Two files that belong into FashionMNIST/; `host` serves `package` under /small.deb."""
    return RemoteDataset(
        title="Small",
        catalogue_name="fashion_mnist",
        files=tuple(RemoteFile(name, hashlib.sha256(content).hexdigest()) for name, content in CONTENTS.items()),
        torchvision_class="FashionMNIST",
        debian=DebianPackage("small-dataset", "small.deb", hashlib.sha256(package).hexdigest(), PACKAGE_FOLDER, host),
    )


def debian_package(files: Mapping[str, bytes], compression: str = "xz", member: str = "data.tar.xz") -> bytes:
    """A .deb that holds `files` below PACKAGE_FOLDER."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{compression}") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{PACKAGE_FOLDER}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", member: data.getvalue()}
    return b"!<arch>\n" + b"".join(_ar_member(name, content) for name, content in members.items())


def _ar_member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
    return header.encode() + content + b"\n" * (len(content) % 2)


@dataclass
class Server:
    """What is served at which path. `cut_at` ends an answer early; `hold` keeps every answer back while it is clear."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    cut_at: int | None = None
    requests: list[str] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    hold: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Server]:
    """A server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append(self.path)
            body = server.files.get(self.path)
            if body is None:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            server.asked.set()
            server.hold.wait(60)
            self.wfile.write(body[len(body) // 2 : server.cut_at])
            return None

        def log_message(self, *args: object) -> None:
            """Not into the test's output."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_port}", dict(files))
    server.hold.set()
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.hold.set()
        http.shutdown()
        thread.join()
        http.server_close()
