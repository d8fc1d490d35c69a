"""What happened while a watch was down is found out, though kopf never tells of what was deleted meanwhile."""

from __future__ import annotations

import signal

import pytest
from harness.cluster import Jobs, Requests, job
from harness.stage import Stage
from testbed.operator import NAMESPACE, Operator
from testbed.processes import Server
from testbed.waiting import wait_for

LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
FAR_AWAY = "2100-01-01T00:00:00.000000Z"
ANOTHER = {"holderIdentity": "another", "leaseDurationSeconds": 3600, "acquireTime": FAR_AWAY, "renewTime": FAR_AWAY}


@pytest.mark.parametrize("others", [True, False], ids=["other-jobs-are-left", "no-job-is-left"])
def test_a_job_that_was_deleted_while_the_watch_was_cut_is_forgotten(
    others: bool, stage: Stage, played: Jobs, api_server: Server
) -> None:
    with Operator(stage.plane):
        played.apply(job("gone"), *([job("left")] if others else ()))
        played.reaches("gone", "Running")
    stage.plane.request("DELETE", f"{LEASES}/pet-operator")
    stage.plane.request("POST", LEASES, {"metadata": {"name": "pet-operator"}, "spec": ANOTHER})
    with Operator(stage.plane, name="standby") as operator:  # it watches, and no Lease can be lost meanwhile
        operator.server.send(signal.SIGSTOP)
        played.delete("gone")
        wait_for("the end of its pods", lambda: not played.pods("gone"))
        api_server.kill()
        api_server.start()  # it does not know what was before: who wants to go on from there must list again
        api_server.wait_until(stage.plane.is_ready)
        requests = Requests(stage.plane)
        operator.server.send(signal.SIGCONT)
        wait_for("lists", lambda: {"pods", "services", "pettrainingjobs"} <= listed(requests))
        stage.plane.request("DELETE", f"{LEASES}/pet-operator")
        played.apply(job("new"))
        played.reaches("new", "Running")
    about_it = [event for event in requests.all() if event["objectRef"].get("name", "").startswith("gone")]
    # Where kopf's list has no job at all it tells nothing, and the first write is what finds out, and makes sure.
    assert [event["responseStatus"]["code"] for event in about_it] in ([], [404, 404])


def listed(requests: Requests) -> set[str]:
    """The kinds that were listed again."""
    return {event["objectRef"]["resource"] for event in requests.all() if event["verb"] == "list"}
