"""The operator's process beside an API server that misbehaves: the job comes to its end, and no healthy pod is touched.

Here is what is quick; `tests/reliability` has all of it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from harness.api_cases import CASES, Case, check, storm
from harness.api_faults import READS, Fault, Faults
from harness.memory_operator import pods_of, submit
from harness.served_world import served

UNHEARD = Fault("nothing is heard", READS, status=503, reason="ServiceUnavailable")


@pytest.mark.parametrize("case", [case for case in CASES if case.quick], ids=str)
def test_a_fault_changes_nothing(case: Case, tmp_path: Path) -> None:
    print(asyncio.run(check(case, tmp_path)))


def test_nor_do_all_at_once(tmp_path: Path) -> None:
    print(asyncio.run(storm(7, tmp_path)))


def test_what_was_deleted_in_a_gap_that_ends_in_a_list_is_found_out(tmp_path: Path) -> None:
    """Pods 1 and 3 of five are told of by nobody, and neither is, later, the end of the job."""
    faults = Faults()

    async def gaps() -> None:
        async with served(faults, tmp_path, nodes=5, overrides={"TRAIN.BATCH_SIZE": 120}) as (world, operators):

            async def unheard() -> None:
                met = faults.met
                faults.strike(UNHEARD)
                world.http.cut_watches()
                await world.until("deaf", lambda: faults.met > met + 3)

            async def heard() -> None:
                world.http.compact()
                faults.lift()

            await world.step(10)
            await world.until("running", lambda: world.job().phase == "Running")
            await unheard()
            await world.vanish(1)
            await world.vanish(2)
            assert list(pods_of(world.api)) == ["job-1-0", "job-1-2", "job-1-4"]
            await heard()
            await world.until("running again", lambda: (world.job().attempt, world.job().phase) == (2, "Running"))
            (first, _) = world.job().attempts
            words = "pod job-1-1 on node node-1: Disrupted: PodDeleted: the pod is gone"
            assert (first.reason, first.message) == ("Disrupted", words)

            await unheard()
            world.delete()
            writes = world.api.writes.copy()
            await heard()
            await world.until("heard", lambda: world.http.requests["watch pods"] > 3)
            submit(world.api, nodes=2, metrics={"port": world.port})
            await world.until("a new one", lambda: world.job().phase == "Running")
            later = [write for write in world.api.writes[len(writes) :] if write[0] != "create" or write[1] != "events"]
            assert later[0] == ("apply", "pettrainingjobs", "job")
            assert world.job().attempt == 1
            assert sorted(pods_of(world.api)) == ["job-1-0", "job-1-1"]
            assert operators.exits == []

    asyncio.run(gaps())
