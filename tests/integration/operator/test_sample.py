"""The sample, unchanged, as a new user has it: applied, watched, finished."""

from __future__ import annotations

import re
import time

from harness.cluster import Jobs
from harness.crd import FILE

SAMPLE = FILE.parent / "samples" / "fashion-mnist.yaml"
COLUMNS = ["NAME", "STATE", "STEP", "ETA", "LOSS", "CKPT", "RESTARTS", "AGE"]
TOP_1 = 0.89


def watched(jobs: Jobs) -> list[list[str]]:
    """The rows that `kubectl get ptj -w` shows of the one job until it is over, without the cells that are empty."""
    rows = []
    with jobs.watching("get", "ptj", "-w") as watch:
        assert watch.stdout is not None
        for line in watch.stdout:
            rows.append(re.split(r"\s{2,}", line.strip()))
            if rows[-1][1] in ("Succeeded", "Failed"):
                break
        watch.terminate()
    return rows


def test_the_sample_succeeds_and_is_seen_to_go_on(jobs: Jobs) -> None:
    began = time.monotonic()
    jobs.kubectl("apply", "-f", str(SAMPLE))
    head, *rows = watched(jobs)
    status = jobs.status("fashion-mnist")
    print("", *map(" ".join, [head, *rows]), sep="\n")
    print(f"{time.monotonic() - began:.0f} s, top-1 {status['progress']['metrics']['top1']}")

    assert head == COLUMNS
    assert rows[-1][1] == "Succeeded"
    assert float(status["progress"]["metrics"]["top1"]) >= TOP_1
    assert (status["worldSize"], status["attempt"], status["restarts"]) == (2, 1, 0)
    running = [row for row in rows if row[1] == "Running"]
    assert any(len(row) == len(COLUMNS) for row in running)
    steps = [int(row[2].partition("/")[0]) for row in running]
    assert len(set(steps)) > 2
    assert steps == sorted(steps)
