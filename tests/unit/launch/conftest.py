"""A folder with one training script and one configuration, and plans made there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pet.config import JobEnvironment
from pet.launch.options import parse_options
from pet.launch.plan import Plan, make_plan

CFG = "cfgs/tasks/cls/small.yaml"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """`make(*arguments, **environment)`: the plan of a launcher with that command line and those variables."""
    script, cfg = tmp_path / "tools/tasks/cls/train_net.py", tmp_path / CFG
    for file, text in ((script, ""), (cfg, "MISC: {DEVICE: cpu}\nTRAIN: {DATASETS: [fashion_mnist_train]}\n")):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def plan(*arguments: str, **environ: str) -> Plan:
        environment = JobEnvironment.from_environ(environ)
        return make_plan(parse_options(["--cfg", CFG, *arguments]), environment, tmp_path / "tools")

    return plan


@pytest.fixture
def plan(make: Callable[..., Plan]) -> Plan:
    """Two CPU ranks of one node, in the third attempt of a job."""
    return make("--nproc", "2", PETJOB_UID="the-uid", PETJOB_ATTEMPT="3", PETJOB_NAME="job")
