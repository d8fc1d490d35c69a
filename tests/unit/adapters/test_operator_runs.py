"""The operator's program on an API server in memory: what it can do without, and that it ends at once when asked."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread

import aiohttp
import pytest
from harness.answers import write_kubeconfig
from harness.api_faults import Fault, Faults
from harness.http_api import HttpApi
from harness.memory_api import MemoryApi
from harness.memory_operator import pods_of, submit

from pet_operator import application
from pet_operator.adapters.leader import LEASE
from pet_operator.settings import Settings

SECONDS = 30.0  # a bound against hanging, not an expectation


async def until(holds: Callable[[], object]) -> None:
    limit = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < limit
        await asyncio.sleep(0.01)


@contextmanager
def serving(api: MemoryApi, faults: Faults) -> Iterator[str]:
    """Its address. It has an event loop of its own: kopf looks at every task of the operator's."""
    started: Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]] = Queue()

    async def serve() -> None:
        runner, address = await HttpApi(api, faults).start()
        stop = asyncio.Event()
        started.put((asyncio.get_running_loop(), stop, address))
        await stop.wait()
        await runner.cleanup()

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    loop, stop, address = started.get()
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def stopped(api: MemoryApi, kubeconfig: str, log: pytest.LogCaptureFixture) -> None:
    """An operator that works, and is asked to stop while somebody keeps a connection to its port."""
    settings = Settings(trainer_image="trainer:stock", kubeconfig=kubeconfig, port=0, identity="operator")
    operator = asyncio.create_task(application.run(settings))
    await until(lambda: pods_of(api))
    (port,) = re.findall(r"/metrics on port (\d+)", log.text)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/healthz") as reply:
            assert await reply.text() == "ok\n"
        assert api.all(LEASE)[0]["spec"]["holderIdentity"] == "operator"
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(SECONDS):
            await operator


def life(folder: Path, log: pytest.LogCaptureFixture, fault: Fault | None = None) -> MemoryApi:
    """Of an operator with one job."""
    log.set_level(logging.INFO, "pet_operator")
    log.set_level(logging.DEBUG, "kopf")
    api, faults = MemoryApi(), Faults()
    submit(api)
    if fault is not None:
        faults.strike(fault)
    with serving(api, faults) as address:
        asyncio.run(stopped(api, write_kubeconfig(folder, address, token="token"), log))
    return api


def test_nothing_is_left_that_kopf_would_wait_for_and_the_lease_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api = life(tmp_path, caplog)
    hung = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Hung tasks")]
    assert hung == ["Hung tasks stopping is skipped: no tasks given."]
    assert api.all(LEASE)[0]["spec"]["holderIdentity"] is None


@pytest.mark.parametrize("plural", ["nodes", "events"])
def test_it_works_without_the_right_to_see_nodes_or_events_and_says_what_is_missing(
    plural: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life(tmp_path, caplog, Fault("forbidden", ("list", "watch"), plural, status=403, reason="Forbidden"))
    said = [message for message in caplog.messages if message.startswith(f"cannot watch {plural}: 403 Forbidden")]
    assert len(said) == 1
    assert plural == "events" or "start with --no-watch-nodes" in said[0]
