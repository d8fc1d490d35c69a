"""`python -m testbed.process_node SETTINGS`: a process node as a process of its own, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path

from testbed.process_node.api import Api
from testbed.process_node.kubelet import Kubelet
from testbed.process_node.settings import Settings


async def run(settings: Settings) -> None:
    """Play the nodes until SIGTERM."""
    work = asyncio.create_task(_work(settings))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    with suppress(asyncio.CancelledError):
        await work


async def _work(settings: Settings) -> None:
    async with Api(settings.server, settings.authority, settings.token) as api:
        await Kubelet(api, settings).run()


if __name__ == "__main__":
    if sys.platform != "linux":
        sys.exit("a process node runs on Linux only")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(run(Settings.load(Path(sys.argv[1]))))
