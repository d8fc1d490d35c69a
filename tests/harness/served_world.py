"""The world of `harness.world` around a real operator process: it sees and changes it over HTTP, in real time."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from testbed.processes import Server

from harness.api_faults import Faults
from harness.http_api import HttpApi
from harness.memory_operator import KEY
from harness.world import World
from pet_operator.adapters.clock import SystemClock
from pet_operator.domain.constants import JOB, POD
from pet_operator.domain.status import JobStatus

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0  # a bound against hanging, not an expectation
_ADDRESS = "127.0.0.1"
_TICK = 0.03
_MOST_EXITS = 8


class ServedWorld(World):
    """One job whose pods start by themselves. All pods have one address, so each answers as the one with rank 0."""

    def __init__(self, faults: Faults, port: int, **spec: Any) -> None:
        super().__init__(metrics={"port": port}, **spec)
        self._clock = SystemClock()
        self.weather = faults
        self.port = port
        self.api.fault = self._judge_request
        self.http = HttpApi(self.api, faults)

    async def react(self, seconds: float = 0.0) -> None:
        """The operator does that by itself."""

    async def until(self, what: str, holds: Callable[[], object]) -> None:
        """Live on until it `holds`. Raises AssertionError if it never does, and what was found wrong meanwhile."""
        limit = time.monotonic() + SECONDS
        while not holds():
            assert self._faults == [], self._faults
            assert time.monotonic() < limit, f"never {what}: {self.job()}"
            await asyncio.sleep(_TICK)

    async def live(self) -> None:
        """The kubelets' part, until cancelled."""
        while True:
            await self.start_all()
            await self.kubelet()
            await asyncio.sleep(_TICK)

    def delete(self) -> None:
        """The job is deleted, with all that it owns; one of its name may be made again."""
        self.api.drop(JOB, KEY.name)
        self._status, self._passed = JobStatus(), 0.0
        self._made.clear()

    def _found(self) -> None:
        """The operator is a process."""

    def _address(self) -> str:
        return _ADDRESS

    def _judge_request(self, verb: str, kind: Any, name: str) -> None:
        if verb == "delete" and kind is POD:
            self.judge_deletion(name)


class Operators:
    """Operator processes, one after the other, as a Deployment has them. `exits` are the codes of those that ended."""

    def __init__(self, server: str, folder: Path, program: str, demand: Callable[[bool, str], None]) -> None:
        """`demand` is told what must hold: that they do not end again and again."""
        self.exits: list[int] = []
        self._demand = demand
        config = folder / "kubeconfig"
        config.write_text(_kubeconfig(server))
        words = [f"--kubeconfig={config}", "--trainer-image=trainer:stock", "--poll-seconds=0.2", "--port=0"]
        path = os.pathsep.join(str(ROOT / each) for each in ("operator", "trainer", "tests"))
        environ = {**os.environ, "PYTHONPATH": path, "POD_NAME": "operator"}
        self.server = Server("operator", [sys.executable, "-m", program, *words], folder / "operator.log", environ)

    async def keep(self) -> None:
        """One runs, until cancelled."""
        while True:
            if not self.server.running:
                if self.server.exit_code is not None:
                    self.exits.append(self.server.exit_code)
                    self._demand(len(self.exits) <= _MOST_EXITS, f"{self.exits}: {self.server.tail(50)}")
                self.server.start()
            await asyncio.sleep(_TICK)

    @property
    def log(self) -> str:
        """What they have said."""
        return self.server.log.read_text()


@asynccontextmanager
async def served(
    faults: Faults, folder: Path, *, program: str = "harness.hasty_operator", **spec: Any
) -> AsyncIterator[tuple[ServedWorld, Operators]]:
    """A world with an operator."""
    launchers = web.Application()
    runners = [web.AppRunner(launchers, access_log=None, shutdown_timeout=0.1)]

    async def status(_: web.Request) -> web.Response:
        try:
            return web.json_response(await world.status(_ADDRESS, port))
        except ConnectionError:
            return web.Response(status=503)

    launchers.router.add_get("/status", status)
    await runners[0].setup()
    await web.TCPSite(runners[0], _ADDRESS, 0).start()
    port = runners[0].addresses[0][1]
    world = ServedWorld(faults, port, **spec)
    runner, address = await world.http.start()
    runners.append(runner)
    operators = Operators(address, folder, program, world.demand)
    tasks = [asyncio.create_task(world.live()), asyncio.create_task(operators.keep())]
    try:
        yield world, operators
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        operators.server.kill()
        for each in runners:
            await each.cleanup()


def _kubeconfig(server: str) -> str:
    """A way to the API server, with a token that it does not look at."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": server}}],
            "users": [{"name": "operator", "user": {"token": "token"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "operator"}}],
            "current-context": "fake",
        }
    )
