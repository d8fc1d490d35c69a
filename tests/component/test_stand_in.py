"""The trainer that is only played keeps the contract of the one that trains."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from harness.launcher import ROOT
from testbed.processes import free_ports
from testbed.waiting import wait_for

from pet.config import JobEnvironment

SCHEMA = json.loads((ROOT / "crds" / "status.schema.json").read_text())


def answer(port: int) -> dict[str, Any]:
    """Its `/status`, empty as long as there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5) as reply:
            document: dict[str, Any] = json.load(reply)
            return document
    except OSError:
        return {}


@pytest.mark.parametrize("node", [0, 1])
def test_its_status_is_one(node: int, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    environment = JobEnvironment(
        uid="u", attempt=1, namespace="n", pod_name="p", nnodes=2, nproc_per_node=2, node_rank=node,
        metrics_port=port, bind_address="127.0.0.1", termination_log=str(tmp_path / "message"),
    )  # fmt: skip
    script = ROOT / "tests" / "harness" / "stand_in" / "train_net_all.py"
    environ = {**environment.to_environ(), "STAND_IN": str(tmp_path)}
    with subprocess.Popen([sys.executable, str(script)], env=environ) as process:
        try:
            jsonschema.validate(wait_for("its answer", lambda: answer(port)), SCHEMA)
        finally:
            process.terminate()
    assert process.returncode == 143
    assert json.loads((tmp_path / "message").read_text())["class"] == "Preempted"
