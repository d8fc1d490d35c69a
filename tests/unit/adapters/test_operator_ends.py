"""How the operator's program ends when a part of it does."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from pet_operator import application
from pet_operator.adapters.leader import LeadershipLost
from pet_operator.main import main
from pet_operator.settings import Settings

LOST = LeadershipLost("the lease could not be renewed")
FAULT = KeyError("a fault of ours")


def ending(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *errors: Exception) -> logging.LogRecord:
    """The one line that is logged when parts of the operator end like this."""

    async def part(error: Exception) -> None:
        raise error

    async def run(_: Settings) -> None:
        async with asyncio.TaskGroup() as group:
            for error in errors:
                group.create_task(part(error))

    monkeypatch.setattr(application, "run", run)
    monkeypatch.setattr(sys, "argv", ["pet-operator", "--trainer-image=trainer:stock"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    (record,) = (record for record in caplog.records if record.name == "pet_operator.main")
    return record


def test_a_lease_that_is_lost_is_one_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    record = ending(monkeypatch, caplog, LOST)
    assert record.getMessage() == "the operator ends: the lease could not be renewed"
    assert record.exc_info is None


@pytest.mark.parametrize("errors", [(FAULT,), (LOST, FAULT)], ids=["alone", "beside a lost lease"])
def test_a_fault_keeps_its_traceback(
    errors: tuple[Exception, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record = ending(monkeypatch, caplog, *errors)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ExceptionGroup)
    assert FAULT in record.exc_info[1].exceptions
