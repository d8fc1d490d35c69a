"""What a job costs the API server, and what an operator that starts again costs it."""

from __future__ import annotations

import json
from collections import Counter

from harness.cluster import Jobs, Requests, job
from harness.stage import Stage
from harness.training import CFG, ROOT
from testbed.operator import Operator
from testbed.waiting import wait_for

CONFIG = (ROOT / CFG).read_text()
STATUS, EVENTS = "patch pettrainingjobs/status", "create events"


def counted(requests: Requests, jobs: Jobs) -> Counter[str]:
    """What was written in the namespace, without events."""
    writes = requests.writes(jobs.namespace.name)
    del writes[EVENTS]
    return writes


def test_a_job_of_eight_pods_costs_fourteen_writes(stage: Stage, played: Jobs) -> None:
    requests = Requests(stage.plane)
    with Operator(stage.plane):
        played.apply(job("eight", nodes=8, config=CONFIG))
        played.reaches("eight", "Running")
        stage.end(played, "eight")
        played.reaches("eight", "Succeeded")
    writes = counted(requests, played)
    print(f"\nan 8-pod job: {writes.total()} writes {dict(writes)}")
    assert writes == {"create pods": 8, "create services": 1, "create configmaps": 1, STATUS: 4}


def test_an_operator_that_starts_again_on_what_is_settled_writes_nothing(stage: Stage, played: Jobs) -> None:
    names = ("over", "failed", "invalid", "suspended", "runs")
    with Operator(stage.plane) as operator:
        bad = job("invalid", overrides={"SOLVER.NO_SUCH_KEY": 1})
        played.apply(*(job(name, nodes=2, config=CONFIG) for name in ("over", "failed", "runs")), bad)
        played.apply(job("suspended", config=CONFIG, suspend=True))
        played.reaches("suspended", "Suspended")
        for name in ("over", "failed"):
            played.reaches(name, "Running")
            stage.end(played, name, {"over": 0, "failed": 78}[name])
        played.reaches("over", "Succeeded")
        played.reaches("failed", "Failed")
        played.reaches("invalid", "Failed")
        played.reaches("runs", "Running")
        before = {name: played.get(name) for name in names}
        wait_for("the last event", lambda: any(reason == "Succeeded" for reason, _ in played.events("over")))

        operator.kill()
        requests = Requests(stage.plane)
        operator.start()
        looks = len(names) + 1  # one at each job, and one at what the launchers of the one that runs answer
        wait_for("a look at everything", lambda: operator.metric("pet_operator_reconcile_total") >= looks)
    assert counted(requests, played) == {}
    assert {name: played.get(name) for name in names} == before


def test_another_controller_s_condition_stays_and_costs_nothing(stage: Stage, played: Jobs) -> None:
    """Others may say something of a job beside what the operator says; what it says nobody else has a part of."""
    theirs = {"type": "example.com/Audited", "status": "True", "reason": "Looked", "message": "",
              "lastTransitionTime": "2026-01-31T12:00:00Z"}  # fmt: skip
    with Operator(stage.plane) as operator:
        played.apply(job(config=CONFIG))
        played.reaches("job", "Running")
        audited = {**job(), "status": {"conditions": [theirs]}}
        del audited["spec"]
        words = ("--server-side", "--subresource=status", "--field-manager=auditor", "--filename=-")
        played.kubectl("apply", *words, content=json.dumps(audited))
        operator.kill()
        requests = Requests(stage.plane)
        operator.start()
        wait_for("looks at it", lambda: operator.metric("pet_operator_reconcile_total") >= 2)
        assert counted(requests, played) == {}

        stage.end(played, "job")
        played.reaches("job", "Succeeded")
    assert played.condition("job", "example.com/Audited") == theirs
    metadata = played.kubectl("get", "ptj", "job", "-o=json", "--show-managed-fields")
    (ours,) = (entry for entry in json.loads(metadata)["metadata"]["managedFields"]
               if entry["manager"] == "pet-operator-status")  # fmt: skip
    owned = ours["fieldsV1"]["f:status"]
    conditions = owned.pop("f:conditions")
    assert set(map(str, owned.values())) | set(map(str, conditions.values())) == {"{}"}
