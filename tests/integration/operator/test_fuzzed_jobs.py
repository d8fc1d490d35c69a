"""Odd jobs on a real API server: it refuses them, or their conditions say what is wrong, and another job goes on."""

from __future__ import annotations

import copy
import json
import os
import random
from collections import Counter
from typing import Any

from harness.cluster import Jobs, job
from harness.jobs_api import JobsApi, Refused
from harness.junk import JOB, hostile, places, with_junk
from harness.stage import Stage
from testbed.operator import Operator
from testbed.waiting import wait_for

NUMBER = 60
SEED = int(os.environ.get("PET_TEST_SEED", random.randrange(2**32)))
JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    2**31,
    10**30,
    1.5,
    "",
    "x",
    "é漢🙂",
    "..",
    "/",
    "0x1",
    [],
    [1],
    ["x"],
    {},
    {"a": 1},
]
BYTES = 1_000_000  # more than that the API server takes of nobody


def specs() -> dict[str, Any]:
    """By name: what somebody might try, and as many valid specs with junk at one place."""
    dice = random.Random(SEED)
    where = [path for path in places(JOB) if path[0] == "spec" and len(path) > 1]
    chosen = [(dice.choice(where), dice.choice(JUNK)) for _ in range(NUMBER)]
    junk = {f"{'.'.join(map(str, path))} = {value!r}": with_junk(path, value)["spec"] for path, value in chosen}
    odd = {name: spec for name, spec in hostile().items() if len(json.dumps(spec)) < BYTES}
    return odd | copy.deepcopy(junk)


def test_odd_jobs_disturb_nobody(stage: Stage, played: Jobs) -> None:
    print(f"\nPET_TEST_SEED={SEED}")
    api = JobsApi(stage.plane, played.namespace.name)
    outcomes: Counter[str] = Counter()
    with Operator(stage.plane) as operator:
        played.apply(job("good"))
        played.reaches("good", "Running")
        names = {}
        for number, (what, spec) in enumerate(specs().items()):
            try:
                api.create(job(f"odd-{number}") | {"spec": spec})
            except Refused:
                outcomes["refused by the API server"] += 1
            else:
                names[f"odd-{number}"] = what
        for name, what in names.items():
            status = wait_for(f"what is said of {what}", lambda name=name: judged(played.status(name)), 60)
            outcomes[f"{status['phase']}: {status['reason']}"] += 1
        played.apply(job("next"))
        played.reaches("next", "Running")
        stage.end(played, "good")
        good = played.reaches("good", "Succeeded")
        assert (good["attempt"], good["restarts"]) == (1, 0)
        assert operator.page("/healthz") == "ok\n"
        log = operator.log()
        for name in names:
            played.delete(name, "--wait=false")
    print(*(f"{number:4} {outcome}" for outcome, number in outcomes.most_common()), sep="\n")
    assert "ERROR" not in log


def judged(status: dict[str, Any]) -> dict[str, Any]:
    """A status that says whether the job was accepted, and why not."""
    accepted = [each for each in status.get("conditions") or () if each["type"] == "Accepted"]
    said = accepted and (accepted[0]["status"] == "True" or accepted[0].get("message"))
    return status if said else {}
