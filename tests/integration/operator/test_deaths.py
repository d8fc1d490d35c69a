"""An operator that dies after any of its writes leaves nothing that the next one could not go on from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from harness.cluster import Jobs, Requests, job, jobs_of
from harness.stage import Stage
from harness.training import CFG, ROOT
from testbed.operator import Operator
from testbed.waiting import wait_for

JOB = job(nodes=2, config=(ROOT / CFG).read_text(), checkpoint={"volume": {"size": "1Gi"}})
SIDE_BY_SIDE = 4
TIMES = {
    "startTime",
    "completionTime",
    "startedAt",
    "endedAt",
    "observedAt",
    "savedAt",
    "lastTransitionTime",
    "accounting",
}


def timeless(value: Any) -> Any:
    """Without the times in it."""
    if isinstance(value, dict):
        return {key: timeless(entry) for key, entry in value.items() if key not in TIMES}
    return [timeless(entry) for entry in value] if isinstance(value, list) else value


def uids(jobs: Jobs) -> set[str]:
    """Of the pods that there are."""
    return {pod["metadata"]["uid"] for pod in jobs.pods("job")}


def ended(jobs: Jobs) -> bool:
    """Whether all is written, the last event too."""
    return any(reason == "Succeeded" for reason, _ in jobs.events("job"))


def rest_of_the_life(stage: Stage, jobs: Jobs, *, all_events: bool = False) -> dict[str, Any]:
    """Let an operator bring the job to its end; what there is then. Events may be lost with the operator that died."""
    with Operator(stage.plane, name=jobs.namespace.name, namespace=jobs.namespace.name):
        jobs.wait("job", "running", lambda status: status.get("phase") in ("Running", "Succeeded"))
        stage.end(jobs, "job")
        status = jobs.reaches("job", "Succeeded")
        if all_events:
            wait_for("the last event", lambda: ended(jobs))
    return {"status": timeless(status), "objects": jobs.objects()}


def life_with_a_death(stage: Stage, jobs: Jobs, number: int) -> dict[str, Any]:
    """The same where a first operator dies right after this write, or at the end if it has so few to make."""
    name = jobs.namespace.name
    with Operator(stage.plane, name=name, namespace=name, program=("harness.dying_operator", str(number))) as dying:
        jobs.apply(JOB)
        wait_for("death or life", lambda: not dying.server.running or jobs.status("job").get("phase") == "Running")
        if dying.server.running:
            stage.end(jobs, "job")
        wait_for("death or the end", lambda: not dying.server.running or ended(jobs))
        dying.kill()
    before = uids(jobs)
    end = rest_of_the_life(stage, jobs)
    assert before <= uids(jobs), f"a pod was replaced after write {number}"
    return end


def test_after_a_death_at_any_write_the_next_operator_comes_to_the_same_end(stage: Stage) -> None:
    with ExitStack() as stack:
        undisturbed = stack.enter_context(jobs_of(stage.plane))
        requests = Requests(stage.plane)
        undisturbed.apply(JOB)
        expected = rest_of_the_life(stage, undisturbed, all_events=True)
        writes = requests.writes(undisturbed.namespace.name)
        del writes["create leases"], writes["update leases"]
        print(f"\n{writes.total()} writes: {dict(writes)}")

        numbers = range(1, writes.total() + 1)
        namespaces = [stack.enter_context(jobs_of(stage.plane)) for _ in numbers]
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            ends = list(pool.map(lambda jobs, number: life_with_a_death(stage, jobs, number), namespaces, numbers))

        assert {number: end for number, end in zip(numbers, ends, strict=True) if end != expected} == {}
        for jobs in namespaces:
            made = requests.writes(jobs.namespace.name)
            assert made["create pods"] == JOB["spec"]["nodes"], jobs.namespace.name
            assert not any(write.startswith("delete") for write in made)
