"""How the operator's program ends when it is asked to: at once, with the Lease given back."""

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
from threading import Thread

import aiohttp
import pytest
from harness.answers import write_kubeconfig
from harness.api_faults import Faults
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
def serving(api: MemoryApi) -> Iterator[str]:
    """Its address. It has an event loop of its own: kopf looks at every task of the operator's."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    runner, address = asyncio.run_coroutine_threadsafe(HttpApi(api, Faults()).start(), loop).result()
    try:
        yield address
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


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


def test_nothing_is_left_that_kopf_would_wait_for_and_the_lease_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pet_operator")
    caplog.set_level(logging.DEBUG, "kopf")
    api = MemoryApi()
    submit(api)
    with serving(api) as address:
        asyncio.run(stopped(api, write_kubeconfig(tmp_path, address, token="token"), caplog))
    hung = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Hung tasks")]
    assert hung == ["Hung tasks stopping is skipped: no tasks given."]
    assert api.all(LEASE)[0]["spec"]["holderIdentity"] is None
