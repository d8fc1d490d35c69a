"""Operators as processes: one works at a time, none is in the way of a pod's life, and each ends when it is told to."""

from __future__ import annotations

import time
from typing import Any

from harness.cluster import Jobs, Requests, job
from harness.stage import Stage
from testbed.operator import NAMESPACE, Operator
from testbed.processes import Server
from testbed.waiting import wait_for

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/pet-operator"


def holder(stage: Stage) -> Any:
    """Who holds the Lease."""
    return stage.plane.request("GET", LEASE)["spec"].get("holderIdentity")


def seconds_until_leading(operator: Operator) -> float:
    began = time.monotonic()
    wait_for(f"{operator.server.name} leading", lambda: operator.leading)
    return time.monotonic() - began


def test_of_two_operators_one_works_and_the_other_takes_over(stage: Stage, played: Jobs) -> None:
    with Operator(stage.plane, name="one") as one, Operator(stage.plane, name="two") as two:
        seconds_until_leading(one)
        assert (holder(stage), two.leading) == ("one", False)
        for operator in (one, two):
            assert (operator.page("/healthz"), operator.page("/readyz")) == ("ok\n", "ok\n")

        one.stop()
        assert one.server.exit_code == 0
        after_stop = seconds_until_leading(two)
        assert holder(stage) == "two"

        one.start()
        played.apply(job())
        played.reaches("job", "Running")
        two.kill()
        after_death = seconds_until_leading(one)
        assert holder(stage) == "one"
        print(f"\ntaken over {after_stop:.1f} s after SIGTERM, {after_death:.1f} s after SIGKILL")

        stage.end(played, "job")
        status = played.reaches("job", "Succeeded")
        assert (status["attempt"], status["restarts"]) == (1, 0)


def test_an_api_server_that_is_away_costs_no_pod_and_no_operator(
    stage: Stage, played: Jobs, api_server: Server
) -> None:
    requests = Requests(stage.plane)
    with Operator(stage.plane) as operator:
        played.apply(job("ends", nodes=2), job("stays", nodes=2))
        for name in ("ends", "stays"):
            played.reaches(name, "Running")
        before = {pod["metadata"]["uid"] for name in ("ends", "stays") for pod in played.pods(name)}
        pid = operator.server.pid

        api_server.kill()
        stage.end(played, "ends")
        wait_for("the operator's notice", lambda: "cannot watch pods" in operator.server.tail(100))
        assert operator.page("/healthz") == "ok\n"
        api_server.start()

        api_server.wait_until(stage.plane.is_ready)
        assert played.reaches("ends", "Succeeded")["attempt"] == 1
        played.apply(job("new"))
        played.reaches("new", "Running")
        stays = played.status("stays")
        assert (stays["phase"], stays["attempt"], stays["restarts"]) == ("Running", 1, 0)
        assert before == {pod["metadata"]["uid"] for name in ("ends", "stays") for pod in played.pods(name)}
        assert operator.server.running
        assert operator.server.pid == pid
    assert requests.writes(played.namespace.name)["create pods"] == 5


def test_an_operator_that_starts_before_the_api_server_waits_for_it(
    stage: Stage, played: Jobs, api_server: Server
) -> None:
    played.apply(job())
    operator = Operator(stage.plane)
    api_server.kill()
    with operator.server:
        wait_for("its complaint", lambda: "cannot list jobs" in operator.log())
        assert operator.page("/healthz") == "ok\n"
        api_server.start()
        api_server.wait_until(stage.plane.is_ready)
        played.reaches("job", "Running")
