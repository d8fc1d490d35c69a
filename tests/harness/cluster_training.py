"""The small real training as a job on a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.namespace import Manifest
from testbed.process_node import ProcessNodes
from testbed.waiting import wait_for

from harness.cluster import SECONDS, Jobs, job
from harness.training import ROOT, Training

NAME = "training"


@dataclass
class ClusterTraining(Training):
    """`folder` is on the machine whose processes the pods are; its checkpoints are in the job's claim."""

    jobs: Jobs = field(kw_only=True)
    nodes: ProcessNodes = field(kw_only=True)
    pods: int = 1

    @property
    def checkpoints(self) -> Path:
        """The job's folder in the volume that its claim is bound to."""
        claim = self.jobs.namespace.get("persistentvolumeclaims", f"{NAME}-checkpoints")
        assert claim is not None, "the job has no claim yet"
        return self.nodes.folder / "volumes" / str(claim["spec"]["volumeName"]) / NAME

    def manifest(self, **spec: Any) -> Manifest:
        """The job, with further fields of its spec. What it calls under TRAIN.HOOKS is this checkout's."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tests = {"name": "PYTHONPATH", "value": str(ROOT / "tests")}
        fields = {
            "nodes": self.pods,
            "procsPerNode": self.ranks // self.pods,
            "checkpoint": {"volume": {"size": "1Gi"}},
            "template": {"spec": {"containers": [{"name": "trainer", "env": [tests]}]}},
            "overrides": self.keys,
        }
        return job(NAME, **(fields | spec))

    def wait_for(self, file: str) -> None:
        """Until a hook has made this file."""
        wait_for(f"{file} of the training", (self.folder / file).exists, SECONDS)
