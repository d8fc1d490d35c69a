"""Asking a launcher for its status, whatever it is that answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from pet_operator.adapters.trainer_http import TrainerHttp

DOCUMENT = {"schema": 1, "uid": "a", "failures": ["x" * 300_000] * 3}


def asking(body: bytes, status: str = "200 OK", *, length: int | None = None) -> dict[str, object]:
    """Ask a launcher that answers with this body."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()

    async def ask() -> dict[str, object]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, TrainerHttp() as client:
            return dict(await client.status("127.0.0.1", server.sockets[0].getsockname()[1]))

    return asyncio.run(ask())


def test_a_long_document_is_read_to_its_end() -> None:
    assert asking(json.dumps(DOCUMENT).encode()) == DOCUMENT


@pytest.mark.parametrize(
    "body",
    [b"no json", b"[1]", b'{"schema": 2}', b"[" * 100_000, b"1" * 5000, b"\xff", b" " * (1024 * 1024 + 1)],
    ids=["text", "list", "another schema", "brackets", "a number", "no text", "too long"],
)
def test_what_is_no_status_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        asking(body)


@pytest.mark.parametrize("ask", [lambda: asking(b"", "503 Busy"), lambda: asking(b"{", length=10)], ids=["503", "cut"])
def test_what_is_no_answer_is_an_os_error(ask: Callable[[], object]) -> None:
    with pytest.raises(OSError, match=r".+"):
        ask()
