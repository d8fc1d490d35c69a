"""What the operator logs, for people and for machines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from harness.memory_api import MemoryApi
from harness.memory_operator import KEY, MemoryOperator, submit
from harness.timeless import run

from pet_operator.adapters import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


async def begin() -> None:
    """An operator begins the first attempt of a job."""
    api = MemoryApi()
    submit(api)
    operator = MemoryOperator(api)
    await operator.list()
    await operator.look()


def test_json_says_which_job_and_which_attempt_a_line_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(logs.JSON)
    run(begin())
    (line,) = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert line.pop("time")
    assert line == {
        "level": "INFO",
        "logger": "pet_operator.runtime.controller",
        "message": f"{KEY}: Started: attempt 1: making 1 pod",
        "job": str(KEY),
        "attempt": 1,
        "reason": "Started",
    }


def test_text_is_one_line_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(logs.TEXT)
    run(begin())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"INFO pet_operator.runtime.controller: {KEY}: Started: attempt 1: making 1 pod")


def test_a_traceback_is_part_of_its_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(logs.JSON)
    try:
        raise ValueError("words")
    except ValueError:
        logging.getLogger("x").exception("it failed")
    (line,) = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert "ValueError: words" in line["exc_info"]
