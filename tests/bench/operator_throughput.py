"""How fast the operator makes the pods of many jobs, beside a raw loop that writes the same and decides nothing.

Both speak with the same real API server, in alternating rounds, with a watch of pods open, and as the same account: an
admin passes without authorization and flow control, as no controller does. The jobs exist before; no node does, and
the scheduler is off, so that nobody else writes. From the first write to the last pod, by the audit log. The CPU time
of the operator's start, where it has no job, is left out.

    python tests/bench/operator_throughput.py [--jobs N] [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from harness.cluster import what
from operator_load import NODES, POLL_SECONDS, cpu_seconds, pods_made, submit, written
from testbed.control_plane import ControlPlane
from testbed.namespace import Namespace
from testbed.operator import ACCOUNT, NAMESPACE, USER, Operator, install

from pet.config.job import read_job
from pet_operator.domain import manifests
from pet_operator.domain.codec import encode
from pet_operator.domain.constants import JOB, POD
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Create, Observed, Site, Validation
from pet_operator.domain.status import JobStatus

SCRIPT = "tools/tasks/cls/train_net.py"
SITE = Site(cluster="bench", trainer_image="trainer:stock")
AT_ONCE = 64  # requests of the raw loop


@dataclass(frozen=True)
class Round:
    """What one contender took."""

    seconds: float
    cpu: float  # of its process, seconds
    writes: int
    pods: int

    @property
    def pods_per_second(self) -> float:
        """The figure."""
        return self.pods / self.seconds


def objects(job: dict[str, Any]) -> list[Create]:
    """What the operator makes for a job."""
    read = read_job(job)
    pods = [manifests.pod(read, SITE, SCRIPT, 1, index, 3) for index in range(NODES)]
    return [manifests.service(read, SCRIPT), *manifests.shared(read, SCRIPT), *pods]


def status(job: dict[str, Any]) -> dict[str, Any]:
    """What the operator writes into a job before it makes anything."""
    metadata = job["metadata"]
    view = Observed(
        job=read_job(job),
        generation=metadata["generation"],
        resource_version=metadata["resourceVersion"],
        status=JobStatus(),
        validation=Validation(problems=(), warnings=(), script=SCRIPT),
        site=SITE,
    )
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": {"name": metadata["name"]},
        "status": encode(decide(view, datetime.now(UTC)).status),
    }


async def make_raw(
    plane: ControlPlane, namespace: str, jobs: list[dict[str, Any]], statuses: list[dict[str, Any]]
) -> None:
    """POST everything, and apply each job's status: plain aiohttp, so many requests at a time."""
    headers = {"Authorization": f"Bearer {plane.service_account_token(NAMESPACE, ACCOUNT)}"}
    tls = ssl.create_default_context(cafile=str(plane.authority.certificate_file))
    connector = aiohttp.TCPConnector(ssl=tls, limit=AT_ONCE + 1)
    async with aiohttp.ClientSession(plane.url, connector=connector, headers=headers) as session:
        watching = asyncio.create_task(watch_pods(session, namespace))
        slots = asyncio.Semaphore(AT_ONCE)

        async def send(method: str, path: str, body: Any, kind: str = "application/json") -> None:
            async with (
                slots,
                session.request(method, path, data=json.dumps(body), headers={"Content-Type": kind}) as answer,
            ):
                await answer.read()
                answer.raise_for_status()

        async def make(job: dict[str, Any], applied: dict[str, Any]) -> None:
            path = f"/apis/{JOB.api_version}/namespaces/{namespace}/{JOB.plural}/{job['metadata']['name']}/status"
            await send("PATCH", f"{path}?fieldManager=raw&force=true", applied, "application/apply-patch+yaml")
            shared, pods = [], []
            for create in objects(job):
                group = "apis" if "/" in create.kind.api_version else "api"
                path = f"/{group}/{create.kind.api_version}/namespaces/{namespace}/{create.kind.plural}"
                (pods if create.kind is POD else shared).append(send("POST", path, create.manifest))
            for each in shared:
                await each
            await asyncio.gather(*pods)

        await asyncio.gather(*map(make, jobs, statuses))
        watching.cancel()


async def watch_pods(session: aiohttp.ClientSession, namespace: str) -> None:
    """Read what changes, as everybody has to who answers to it."""
    async with session.get(
        f"/api/v1/namespaces/{namespace}/pods?watch=true", timeout=None, read_bufsize=2**22
    ) as answer:
        async for line in answer.content:
            json.loads(line)


def raw(plane: ControlPlane, number: int) -> Round:
    """One round of the raw loop."""
    with Namespace(plane) as namespace:
        jobs = submit(plane, namespace.name, number, nodes=NODES)
        statuses = [status(job) for job in jobs]
        before = time.process_time()
        events = written(
            plane, USER, namespace.name, lambda: asyncio.run(make_raw(plane, namespace.name, jobs, statuses))
        )
        return measured(events, time.process_time() - before, number)


def start_cost(plane: ControlPlane) -> float:
    """CPU seconds of an operator that finds nothing to do."""
    with Namespace(plane) as namespace, Operator(plane, namespace=namespace.name, poll_seconds=POLL_SECONDS) as process:
        return cpu_seconds(process.server.pid)


def operator(plane: ControlPlane, number: int) -> Round:
    """One round of the operator: it finds the jobs at its start."""
    idle = start_cost(plane)
    with Namespace(plane) as namespace:
        submit(plane, namespace.name, number, nodes=NODES)
        process = Operator(plane, namespace=namespace.name, poll_seconds=POLL_SECONDS)

        def work() -> None:
            process.start()
            pods_made(namespace, number * NODES)

        try:
            events = written(plane, USER, namespace.name, work)
            used = cpu_seconds(process.server.pid) - idle
        finally:
            process.stop()
        return measured(events, used, number)


def measured(events: list[dict[str, Any]], cpu: float, number: int) -> Round:
    """By the times at which the API server began and ended."""
    made = [event for event in events if what(event) == "create pods"]
    assert len(made) == number * NODES, f"{len(made)} pods were made"
    began = min(datetime.fromisoformat(event["requestReceivedTimestamp"]) for event in events)
    ended = max(datetime.fromisoformat(event["stageTimestamp"]) for event in made)
    return Round((ended - began).total_seconds(), cpu, len(events), len(made))


def compare(plane: ControlPlane, number: int, rounds: int) -> None:
    """Both in turns, and a table."""
    contenders: dict[str, Callable[[ControlPlane, int], Round]] = {"raw loop": raw, "operator": operator}
    results: dict[str, list[Round]] = {name: [] for name in contenders}
    for place in range(rounds):
        for name in sorted(contenders, reverse=place % 2 == 1):
            results[name].append(contenders[name](plane, number))
    print(f"\n{number} jobs x {NODES} pods, {rounds} rounds each")
    print(
        f"{'':12}{'pods/s':>9}{'lowest':>9}{'highest':>9}{'ratio':>8}{'CPU s per 1000 pods':>21}{'writes per job':>16}"
    )
    bare = statistics.median(each.pods_per_second for each in results["raw loop"])
    for name, measured_rounds in results.items():
        speeds = [each.pods_per_second for each in measured_rounds]
        cpu = statistics.median(1000 * each.cpu / each.pods for each in measured_rounds)
        writes = max(each.writes for each in measured_rounds) / number
        print(f"{name:12}{statistics.median(speeds):9.0f}{min(speeds):9.0f}{max(speeds):9.0f}"
              f"{statistics.median(speeds) / bare:8.2f}{cpu:21.2f}{writes:16.2f}")  # fmt: skip


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 400], help="numbers of jobs (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each contender (%(default)s)")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Path(folder)) as plane:
        install(plane)
        plane.servers["kube-scheduler"].stop()
        for number in words.jobs:
            compare(plane, number, words.rounds)


if __name__ == "__main__":
    main()
