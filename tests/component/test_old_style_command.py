"""What a user of Pet types and brings along: the old command lines in a checkout, and a hook file of one's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.training import CFG, ROOT, TIMEOUT

ALL, ALONE = "trainer/tools/train_net_all.py", "trainer/tools/tasks/cls/train_net.py"
CKPT = "ckpts/tasks/cls/FashionMNIST/slim_resnet_1x"  # the mirror of the configuration's place
SHORT = (
    "SOLVER.OPTIMIZER.BASE_LR", "0.05", "SOLVER.SCHEDULER.TOTAL_EPOCHS", "None", "SOLVER.SCHEDULER.TOTAL_ITERS", "6",
    "SOLVER.SCHEDULER.WARM_UP_ITERS", "0", "TRAIN.BATCH_SIZE", "16", "MISC.DISPLAY_ITER", "2", "EVAL.ENABLED", "False",
)  # fmt: skip
LINE = (
    r"^\[\d\d-\d\d \d\d:\d\d:\d\d\] \|-\[(\S+)\.yaml\]-\[iter: (\d+)/(\d+)\]-\[lr: (\d\.\d{6})\]-\[eta: \d:\d\d:\d\d\]$"
)

HOOK = """
from pet.lib.utils.comm import is_main_process
from pet.lib.utils.hooks import TrainHook
from pet.lib.utils.misc import logging_rank


class Watch(TrainHook):
    def __init__(self, path):
        self.path = path

    def before_step(self, storage):
        self.begun = storage.iter

    def after_step(self, storage):
        assert self.begun == storage.iter
        storage.put_scalar("half_iter", storage.iter / 2, smoothing_hint=False)
        if is_main_process():
            with open(self.path, "a") as file:
                file.write(f"{storage.iter} ")
        logging_rank(f"watched {storage.iter}")
"""


@pytest.fixture
def checkout(tmp_path: Path, fashion_mnist: Path) -> Path:
    """A checkout with data in its place: what a command line needs that says nothing of where things are."""
    shutil.copytree(ROOT / "trainer/tools", tmp_path / "trainer/tools")
    shutil.copytree(ROOT / "cfgs", tmp_path / "cfgs")
    (tmp_path / "data").symlink_to(fashion_mnist)
    return tmp_path


def run(checkout: Path, *arguments: str) -> str:
    """Run a Python program in the checkout to its good end; the output."""
    environ = {name: value for name, value in os.environ.items()
               if not name.startswith(("PETJOB_", "PET_")) and name != "PYTHONPATH"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, *arguments], cwd=checkout, env=environ, text=True, timeout=TIMEOUT, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]


def test_the_launcher_trains_what_the_configuration_s_place_says_and_goes_on(checkout: Path) -> None:
    output = run(checkout, ALL, "--cfg", CFG, *SHORT)
    lines = re.findall(LINE, output, re.MULTILINE)
    assert [(name, int(step), int(last)) for name, step, last, _ in lines] == [
        ("slim_resnet_1x", step, 6) for step in (2, 4, 6)
    ]
    assert 0 < float(lines[0][3]) < 0.05  # the command line's rate, not the file's 0.1
    assert re.search(r"INFO: Params: \S+ \| FLOPs: \S+M / Conv_FLOPs: \S+M \| Activations: ", output)
    folder = checkout / CKPT
    assert {"model_iter6.pth", "model_latest.pth", "metrics.json", "slim_resnet_1x.yaml"} <= set(os.listdir(folder))
    (log,) = (folder / "log").glob("train_*.txt")
    assert re.findall(LINE, log.read_text(), re.MULTILINE) == lines
    assert [record["iteration"] for record in records(folder)] == [2, 4, 6]

    output = run(checkout, ALL, "--cfg", CFG, *SHORT, "SOLVER.SCHEDULER.TOTAL_ITERS", "8")
    assert "model_iter6.pth at iteration 6" in output
    assert [record["iteration"] for record in records(folder)] == [2, 4, 6, 8]


def test_a_script_by_itself_trains_too(checkout: Path) -> None:
    output = run(checkout, ALONE, "--cfg", CFG, *SHORT)
    assert [int(step) for _, step, _, _ in re.findall(LINE, output, re.MULTILINE)] == [2, 4, 6]
    assert [record["iteration"] for record in records(checkout / CKPT)] == [2, 4, 6]


def test_a_hook_of_the_user_s_runs_in_it(checkout: Path) -> None:
    (checkout / "my_hooks.py").write_text(HOOK)
    cfg = yaml.safe_load((checkout / CFG).read_text())
    cfg["TRAIN"]["HOOKS"] = [{"type": "my_hooks:Watch", "args": {"path": "watched"}}]
    (checkout / "cfgs/tasks/cls/FashionMNIST/mine.yaml").write_text(yaml.safe_dump(cfg))
    output = run(checkout, ALL, "--cfg", "cfgs/tasks/cls/FashionMNIST/mine.yaml", "--nproc", "2", *SHORT)
    assert (checkout / "watched").read_text() == "1 2 3 4 5 6 "
    assert re.findall(r"INFO: watched (\d)\n", output) == list("123456")
    found = records(checkout / "ckpts/tasks/cls/FashionMNIST/mine")
    assert [record["half_iter"] for record in found] == [1.0, 2.0, 3.0]
