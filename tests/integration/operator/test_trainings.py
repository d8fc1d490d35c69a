"""Real trainings from `kubectl apply` to the end, whatever happens to their pods."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.cluster import Jobs
from harness.cluster_training import NAME, ClusterTraining
from harness.interruptions import check_end
from harness.pod_losses import Loss, check
from harness.training import Training
from testbed.process_node import ProcessNodes


def test_a_training_on_two_nodes_ends_as_one_on_one_node(
    tmp_path: Path, fashion_mnist: Path, jobs: Jobs, nodes: ProcessNodes, uninterrupted: dict[int, Training]
) -> None:
    training = ClusterTraining(tmp_path / "t", fashion_mnist, ranks=2, pods=2, jobs=jobs, nodes=nodes)
    jobs.apply(training.manifest())
    jobs.reaches(NAME, "Succeeded")
    check_end(training, uninterrupted[2])


@pytest.mark.parametrize(
    "loss", [Loss("killed", 2, 1, 23), Loss("deleted", 2, 0, 31), Loss("forced", 1, 0, 42)], ids=str
)
def test_a_training_that_loses_a_pod_goes_on_bit_for_bit(
    loss: Loss, tmp_path: Path, fashion_mnist: Path, jobs: Jobs, nodes: ProcessNodes, uninterrupted: dict[int, Training]
) -> None:
    check(loss, tmp_path / "t", fashion_mnist, jobs, nodes, uninterrupted[loss.pods])
