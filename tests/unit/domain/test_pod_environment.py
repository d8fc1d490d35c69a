"""The environment of a pod: the operator writes what the launcher reads."""

from __future__ import annotations

from typing import Any

import pytest
from harness.observing import SITE, job

from pet.config.environment import JobEnvironment, is_reserved
from pet_operator.domain.environment import environment

EVERYTHING = {
    "nodes": 4,
    "gpusPerNode": 8,
    "checkpoint": {
        "volume": {"claimName": "mine"},
        "path": "vision/a",
        "keep": 5,
        "resume": "vision/b/model_iter10.pth",
        "gracePeriodSeconds": 300,
    },
    "restart": {"maxRestarts": 7, "windowSeconds": 60},
    "deadlines": {"startupSeconds": 100, "stallSeconds": 50},
    "metrics": {"port": 9401, "perRank": True},
}


def variables(
    attempt: int = 1, node_index: int = 0, *, saved: bool = False, takeover_uid: str = "", **spec: Any
) -> dict[str, Any]:
    entries = environment(job(**spec), SITE.cluster, attempt, node_index, 2, saved=saved, takeover_uid=takeover_uid)
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry.get("value") for entry in entries}


def read(**what: Any) -> JobEnvironment:
    """As the launcher has it; Kubernetes fills in the node's name."""
    written = variables(**what)
    assert written["PETJOB_NODE_NAME"] is None
    return JobEnvironment.from_environ({**written, "PETJOB_NODE_NAME": "gpu-7"})


def test_both_sides_hold_the_same_variables() -> None:
    names = set(JobEnvironment(checkpoint_dir="").to_environ())
    assert set(variables()) == names
    assert all(is_reserved(name) for name in names)


def test_every_value_is_text() -> None:
    assert {type(value) for value in variables(**EVERYTHING).values()} == {str, type(None)}


def test_the_launcher_reads_what_a_plain_job_says() -> None:
    assert read() == JobEnvironment(
        cluster_uid="uid-of-kube-system",
        namespace="default",
        name="job",
        uid="uid-of-job",
        attempt=1,
        pod_name="job-1-0",
        node_name="gpu-7",
        metrics_port=9400,
        grace_seconds=120,
        restarts_left=2,
        checkpoint_dir="/checkpoints/job",
        data_dir="/data",
        termination_log="/dev/termination-log",
        nproc_per_node=1,
        master_addr="job-0.job",
    )


def test_the_launcher_reads_everything_that_a_job_can_say() -> None:
    assert read(node_index=3, **EVERYTHING) == JobEnvironment(
        cluster_uid="uid-of-kube-system",
        namespace="default",
        name="job",
        uid="uid-of-job",
        attempt=1,
        node_index=3,
        pod_name="job-1-3",
        node_name="gpu-7",
        metrics_port=9401,
        metrics_per_rank=True,
        startup_seconds=100,
        stall_seconds=50,
        grace_seconds=300,
        restarts_left=2,
        restart_window_seconds=60,
        checkpoint_dir="/checkpoints/vision/a",
        checkpoint_keep=5,
        resume="/checkpoints/vision/b/model_iter10.pth",
        data_dir="/data",
        termination_log="/dev/termination-log",
        nnodes=4,
        nproc_per_node=8,
        node_rank=3,
        master_addr="job-0.job",
    )


@pytest.mark.parametrize("resume", ["Auto", "Never"])
def test_words_for_resuming_are_handed_on(resume: str) -> None:
    assert read(checkpoint={"resume": resume}).resume == resume


@pytest.mark.parametrize(("resume", "wish"), [("Never", "Never"), ("other", "/checkpoints/other")])
@pytest.mark.parametrize("attempt", [1, 2])
def test_how_a_job_begins_counts_until_it_has_a_checkpoint_of_its_own(resume: str, wish: str, attempt: int) -> None:
    checkpoint = {"volume": {"claimName": "mine"}, "resume": resume}
    assert read(attempt=attempt, checkpoint=checkpoint).resume == wish
    assert read(attempt=attempt, saved=True, checkpoint=checkpoint).resume == "Auto"


def test_the_folder_of_a_job_that_is_gone_may_be_taken_over() -> None:
    assert read(takeover_uid="uid-of-another").takeover_uid == "uid-of-another"


@pytest.mark.parametrize(
    ("spec", "folder"),
    [
        ({"nodes": 2}, ""),
        ({"nodes": 1}, "/checkpoints/job"),
        ({"nodes": 2, "checkpoint": {"volume": {"size": "1Gi"}}}, "/checkpoints/job"),
    ],
)
def test_nothing_is_saved_where_other_pods_could_not_see_it(spec: dict[str, Any], folder: str) -> None:
    assert read(**spec).checkpoint_dir == folder


def test_ranks_on_the_cpu_are_counted_as_the_job_says() -> None:
    assert read(gpusPerNode=0, procsPerNode=2).nproc_per_node == 2


def test_the_termination_message_goes_where_kubernetes_looks_for_it() -> None:
    template = {"spec": {"containers": [{"name": "trainer", "terminationMessagePath": "/tmp/end"}]}}
    assert read(template=template).termination_log == "/tmp/end"


def test_every_pod_meets_the_others_at_the_first_one() -> None:
    places = {read(node_index=index, nodes=3).master_addr for index in range(3)}
    assert places == {"job-0.job"}
