"""Faults of the API server, each through the same life of a job: start, suspension, resumption, end.

The end is the same as without the fault, and no pod is made twice, deleted while it is wanted, or restarted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from harness.api_faults import (
    EVERYTHING,
    READS,
    WRITES,
    Fault,
    Faults,
    Storm,
    cut_after,
    doubled,
    gone_after,
    late,
    reordered,
    silent_after,
)
from harness.served_world import Operators, ServedWorld, served

LIFE = ("start", "suspension", "resumption", "end")
# Requests of one operator; a life without a fault takes some fifty.
MOST_REQUESTS = 300


@dataclass(frozen=True)
class Case:
    """A fault, how many requests in a row suffer it in each of the `steps`, and what is to be read of it.

    `ends`: the operator may end by it, and another one goes on. `says`: in its log. `shows`: as the status's reason.
    `quick` ones are in `make test`.
    """

    fault: Fault
    times: float = 6  # enough for all four that watch
    seconds: float = math.inf
    steps: tuple[str, ...] = LIFE
    ends: bool = False
    says: str = ""
    shows: str = ""
    quick: bool = False

    def __str__(self) -> str:
        return self.fault.name


def refused(status: int, reason: str, verbs: tuple[str, ...], plural: str = "", **headers: str) -> Fault:
    """Requests of this kind are refused."""
    what = f"{status} on {'/'.join(verbs)} {plural}".strip()
    return Fault(what, verbs, plural, status, reason, headers=headers)


def away(status: int, reason: str) -> Case:
    """Two minutes in which nothing is answered, for an operator that waits a tenth as long; its Lease is lost."""
    fault = Fault(f"{status} for two minutes", EVERYTHING, "*", status, reason)
    return Case(fault, times=math.inf, seconds=12, steps=("resumption",), ends=True)


WATCH = ("watch",)
JOBS, PODS = "pettrainingjobs", "pods"
CASES = (
    Case(Fault("410 at once", WATCH, stream=gone_after(0))),
    Case(Fault("410 in the middle", WATCH, stream=gone_after(1)), quick=True),
    Case(refused(410, "Expired", ("list",), PODS)),
    Case(refused(429, "TooManyRequests", WRITES, **{"Retry-After": "1"})),
    Case(refused(429, "TooManyRequests", READS, **{"Retry-After": "1"})),
    Case(refused(500, "InternalError", (*READS, *WRITES)), quick=True),
    Case(refused(503, "ServiceUnavailable", (*READS, *WRITES))),
    away(500, "InternalError"),
    away(503, "ServiceUnavailable"),
    Case(refused(401, "Unauthorized", ("apply",), JOBS), times=1),
    Case(refused(401, "Unauthorized", WATCH, PODS), times=1),
    Case(refused(401, "Unauthorized", WATCH, JOBS), times=1, ends=True, says="refuses its credentials"),
    Case(
        Fault("401 for good, until somebody mends it", EVERYTHING, "*", 401, "Unauthorized"),
        times=math.inf, seconds=5, steps=("resumption",), ends=True, says="refuses its credentials",
    ),
    Case(refused(403, "Forbidden", ("apply",), JOBS), says="403 Forbidden"),
    Case(refused(403, "Forbidden", ("create",), PODS), shows="CreateRefused"),
    Case(refused(403, "Forbidden", ("list", "watch")), says="cannot watch pods: 403 Forbidden"),
    Case(refused(404, "NotFound", ("apply",), JOBS), quick=True),
    Case(refused(409, "Conflict", ("apply",), JOBS), times=8),
    Case(refused(409, "Conflict", ("create", "delete"), PODS), quick=True),
    Case(refused(422, "Invalid", ("create",), PODS), shows="CreateRefused", quick=True),
    Case(refused(422, "Invalid", ("apply",), JOBS), says="422 Invalid"),
    Case(Fault("reset in the middle of a line", WATCH, stream=cut_after(1)), quick=True),
    Case(Fault("silence without close", WATCH, stream=silent_after(1)), times=math.inf),
    Case(Fault("doubled events", WATCH, stream=doubled), times=math.inf, quick=True),
    Case(Fault("late events", WATCH, stream=late), times=math.inf),
    Case(Fault("reordered events", WATCH, stream=reordered), times=math.inf, quick=True),
    Case(Fault("slow replies", delay=0.5), times=math.inf),
    Case(Fault("replies slower than we wait", (*READS, *WRITES), delay=5), times=2),
    Case(Fault("answers lost", WRITES, loses_answer=True), quick=True),
)  # fmt: skip


async def check(case: Case, folder: Path) -> str:
    """Live through it; returns what there is to print. Raises AssertionError."""
    faults = Faults()

    def before(world: ServedWorld, step: str) -> None:
        faults.lift()
        if step in case.steps:
            faults.strike(case.fault, times=case.times, seconds=case.seconds)
            world.http.cut_watches()

    async with served(faults, folder, nodes=2) as (world, operators):
        shown = await life(world, before)
        words = judged(world, operators, ends=case.ends)
    assert case.says in operators.log
    assert case.shows in {*shown, ""}, shown
    return f"{case}: {words}"


async def life(world: ServedWorld, before: Callable[[ServedWorld, str], None]) -> set[str]:
    """All its steps; returns the reasons that the status showed."""
    shown: set[str] = set()

    def reached(phase: str) -> bool:
        shown.add(world.job().reason)
        return world.job().phase == phase

    acts: tuple[tuple[Callable[[], Awaitable[None]], str], ...] = (
        (lambda: world.step(10), "Running"),
        (lambda: world.suspend(True), "Suspended"),
        (lambda: world.suspend(False), "Running"),
        (world.finish, "Succeeded"),
    )
    for step, (act, phase) in zip(LIFE, acts, strict=True):
        before(world, step)
        await act()
        await world.until(f"{phase} at the {step}", lambda phase=phase: reached(phase))
    return shown


def judged(world: ServedWorld, operators: Operators, *, ends: bool) -> str:
    """What there is to print. Raises AssertionError."""
    status, requests = world.job(), world.http.requests
    assert world.weather.met > 0
    assert (status.attempt, status.restarts, status.failure) == (2, 0, None)
    assert [record.reason for record in status.attempts] == ["Suspended", "Succeeded"]
    if not ends:
        assert operators.exits == [], operators.log
        assert "Traceback" not in operators.log, operators.log
    assert requests.total() < MOST_REQUESTS * (len(operators.exits) + 1), requests
    writes = Counter({what: number for what, number in requests.items() if what.split()[0] in WRITES})
    exits = f", exits {operators.exits}" if operators.exits else ""
    return f"met {world.weather.met} times{exits}, {requests.total()} requests, {writes.total()} writes"


async def storm(seed: int, folder: Path) -> str:
    """All faults that an operator survives at once, of some requests each."""
    faults = Storm(seed, [case.fault for case in CASES if not case.ends])
    async with served(faults, folder, nodes=2) as (world, operators):
        await life(world, lambda *_: faults.rise())
        return f"storm {seed}: {judged(world, operators, ends=False)}"
