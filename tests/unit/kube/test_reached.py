"""What goes wrong on the way to the API server is an OSError that says what."""

from __future__ import annotations

import aiohttp
import pytest

from pet_operator.kube.gateway import _event, _reached


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "the API server did not answer in time"),
        (aiohttp.ServerTimeoutError("no line for 70 s"), "no line for 70 s"),
        (aiohttp.ServerDisconnectedError(), "ServerDisconnectedError: Server disconnected"),
        (ValueError("half a line"), "ValueError: half a line"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_fault_has_words(error: Exception, words: str) -> None:
    with pytest.raises(OSError, match=words), _reached():
        raise error


@pytest.mark.parametrize(
    "line", ["{}", "[]", '{"object": {}}', '{"type": "ADDED"}', '{"type": "ADDED", "object": 1}', "{"]
)
def test_a_line_of_a_watch_that_is_no_event_is_a_fault_of_the_way(line: str) -> None:
    with pytest.raises(ConnectionError), _reached():
        _event(line.encode())
