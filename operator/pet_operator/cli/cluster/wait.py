"""`pet wait`: until a job of a cluster runs or has ended."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from pet_operator.cli.cluster.access import (
    Cluster,
    Context,
    Kubeconfig,
    Name,
    Namespace,
    Place,
    Unanswered,
    ask,
    connect,
)
from pet_operator.cli.cluster.describe import age, print_job
from pet_operator.cli.cluster.freshness import status_of
from pet_operator.cli.live import LiveLine, Numbers
from pet_operator.cli.output import Exit, Format, console, line, print_json
from pet_operator.domain.codec import decode
from pet_operator.domain.policy.accept import INVALID_CONFIG
from pet_operator.domain.status import FAILED, RUNNING, CheckpointStatus, JobStatus, Progress
from pet_operator.runtime.ports import Manifest

POLL_SECONDS = 1.0


class Goal(StrEnum):
    """What is waited for. A job that has ended is past all of it."""

    RUNNING = "running"
    FINISHED = "finished"


For = Annotated[Goal, typer.Option("--for", help="running: all ranks make steps; finished: succeeded or failed.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long at most. Default: for ever.")
]
Output = Annotated[Format, typer.Option("-o", "--output", help="json: the job as the cluster has it in the end.")]


def wait(
    name: Name,
    goal: For = Goal.FINISHED,
    timeout: Timeout = None,
    namespace: Namespace = None,
    output: Output = Format.TEXT,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Wait for a job. Exit codes: 0 it runs or succeeded, 1 it failed or the time is over, 78 it is invalid."""
    watch = Watch(name, goal)
    over = ask(watch.run(Place(kubeconfig, context, namespace), timeout))
    if output is Format.JSON:
        print_json(watch.job)
    else:
        print_job(watch.job, datetime.now(UTC))
    if not over:
        line(("error  ", "red"), f"{name}: not {goal} after {timeout:g} s", stderr=True)
    raise typer.Exit(_verdict(watch.status) if over else Exit.FAILED)


class Watch:
    """Waits for one job, and says on stderr what becomes of it."""

    def __init__(self, name: str, goal: Goal) -> None:
        self.name = name
        self.goal = goal
        self.job: Manifest = {}
        self._said = ""
        self._live = LiveLine(console(stderr=True))

    @property
    def status(self) -> JobStatus:
        """The job's status, as it was seen last."""
        return decode(JobStatus, self.job.get("status"))

    async def run(self, place: Place, timeout: float | None) -> bool:
        """Whether it is over; False if the time was over before. Raises Unanswered."""
        with self._live:
            async with connect(place) as cluster:
                self._see(await cluster.job(self.name))
                try:
                    async with asyncio.timeout(timeout):
                        while not self._reached():
                            await asyncio.sleep(POLL_SECONDS)
                            await self._look(cluster)
                except TimeoutError:
                    return False
        return True

    async def _look(self, cluster: Cluster) -> None:
        """A server that is away for a while is waited for; a job that is gone is not."""
        try:
            job = await cluster.job(self.name)
        except Unanswered as error:
            if not error.passing:
                raise
            self._say(f"{error.problem}; trying on")
            return
        if job["metadata"]["uid"] != self.job["metadata"]["uid"]:
            raise Unanswered(self.name, "was deleted; there is another job of that name now")
        self._see(job)

    def _see(self, job: Manifest) -> None:
        self.job = job
        status = self.status
        phase = status.phase or "waiting for the operator"
        progress = status.progress or Progress()
        numbers = numbers_of(job, datetime.now(UTC))
        self._live.show(phase, done=progress.iteration, total=progress.max_iterations, numbers=numbers)
        if not self._current():
            self._say(f"{self.name}: the operator has not looked at it since it was edited")
        elif not status.finished:
            message = f", {status.message}" if status.message and phase != RUNNING else ""
            self._say(f"{self.name}: {phase}{message}")

    def _say(self, text: str) -> None:
        """Once, until there is something else to say."""
        if text != self._said:
            self._said = text
            line(text, stderr=True)

    def _reached(self) -> bool:
        """Nothing is concluded from a status of an older generation: an edit may have made an invalid job valid."""
        status = self.status
        return self._current() and (status.finished or (self.goal is Goal.RUNNING and status.phase == RUNNING))

    def _current(self) -> bool:
        status = self.status
        return not status.phase or status.observed_generation >= self.job["metadata"]["generation"]


def numbers_of(job: Manifest, now: datetime) -> Numbers:
    """What a job's status tells of its training, marked where it should long have been newer."""
    status = status_of(job, now)
    progress, checkpoint = status.progress or Progress(), status.checkpoint or CheckpointStatus()
    stale = progress.stale and not status.finished
    return Numbers(
        loss=progress.loss,
        learning_rate=progress.learning_rate,
        samples_per_second=progress.samples_per_second,
        eta_seconds=progress.eta_seconds,
        saved=checkpoint.iteration,
        age=(age(progress.observed_at, now) or "some time") if stale else "",
    )


def _verdict(status: JobStatus) -> Exit:
    if status.phase != FAILED:
        return Exit.GOOD
    return Exit.INVALID if status.reason == INVALID_CONFIG else Exit.FAILED
