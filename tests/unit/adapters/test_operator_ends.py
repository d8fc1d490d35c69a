"""How the operator's program ends when a part of it does."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from pet_operator import application
from pet_operator.adapters.kopf_shell import CredentialsRefused
from pet_operator.adapters.leader import LeadershipLost
from pet_operator.main import main
from pet_operator.settings import Settings

REFUSED = CredentialsRefused("https://api refuses its credentials (401 Unauthorized)")
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


@pytest.mark.parametrize(
    ("errors", "words"),
    [((LOST,), str(LOST)), ((REFUSED,), str(REFUSED)), ((LOST, REFUSED), f"{LOST}; {REFUSED}")],
    ids=["lease", "credentials", "both"],
)
def test_what_the_api_server_does_to_it_is_one_line(
    errors: tuple[Exception, ...], words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record = ending(monkeypatch, caplog, *errors)
    assert record.getMessage() == f"the operator ends: {words}"
    assert record.exc_info is None


@pytest.mark.parametrize("errors", [(FAULT,), (LOST, FAULT)], ids=["alone", "beside a lost lease"])
def test_a_fault_keeps_its_traceback(
    errors: tuple[Exception, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record = ending(monkeypatch, caplog, *errors)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ExceptionGroup)
    assert FAULT in record.exc_info[1].exceptions
