"""A small real training, started as a user starts it: launcher, ranks, checkpoints, on the real Fashion-MNIST."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
CFG = "cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml"
TIMEOUT = 300  # seconds; a bound against hanging, not an expectation


@dataclass
class Training:
    """One training in one folder; `run` may be called again and again, as a user would after a fault."""

    folder: Path
    data: Path
    ranks: int = 1
    device: str = "cpu"
    workers: int = 0  # of each rank's loader
    steps: int = 64
    batch: int = 12  # over all ranks; divides by 1, 2, 3 and 4
    period: int = 5  # steps between checkpoints
    # At least: on a fast machine a training would else be over before its ranks ask each other whether to stop.
    step_seconds: float = 0.025
    hooks: list[dict[str, Any]] = field(default_factory=list)
    overrides: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints, logs and numbers go."""
        return self.folder / "ckpt"

    @property
    def termination(self) -> dict[str, Any]:
        """What the launcher left as its last word."""
        message: dict[str, Any] = json.loads((self.folder / "termination.json").read_text())
        return message

    @property
    def steps_done(self) -> list[int]:
        """Every step that rank 0 finished, in order, over all runs."""
        path = self.folder / "steps.log"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    @property
    def keys(self) -> dict[str, str]:
        """What it changes in its configuration, wherever it runs."""
        log = {"path": str(self.folder / "steps.log"), "step_seconds": self.step_seconds}
        hooks = [{"type": "harness.faults:StepLog", "args": log}, *self.hooks]
        return {
            "MISC.DISPLAY_ITER": "4",
            "ANALYSER.ENABLED": "False",
            "EVAL.ENABLED": "False",
            "DATA.LOADER_THREADS": str(self.workers),
            "TRAIN.BATCH_SIZE": str(self.batch),
            "TRAIN.HOOKS": repr(hooks),
            "SOLVER.SCHEDULER.TOTAL_EPOCHS": "None",
            "SOLVER.SCHEDULER.TOTAL_ITERS": str(self.steps),
            "SOLVER.SCHEDULER.WARM_UP_ITERS": "6",
            "SOLVER.SNAPSHOT_ITER": str(self.period),
            "SOLVER.SNAPSHOT_KEEP": "0",
        }

    def arguments(self) -> list[str]:
        """The launcher's command line."""
        keys = {"MISC.CKPT": str(self.checkpoints), "MISC.DEVICE": self.device, **self.keys}
        pairs = [word for pair in keys.items() for word in pair]
        launcher = [sys.executable, "-u", "trainer/tools/train_net_all.py", "--cfg", CFG]
        ranks = ["--nproc", str(self.ranks)] if self.device == "cpu" else []  # else one of each card
        return [*launcher, *ranks, *pairs, *self.overrides]

    def environment(self) -> dict[str, str]:
        """The launcher's environment."""
        return {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("trainer", "tests")),
            "PETJOB_DATA_DIR": str(self.data),
            "PETJOB_TERMINATION_LOG": str(self.folder / "termination.json"),
            "PETJOB_BIND_ADDRESS": "127.0.0.1",
            **self.environ,
        }

    def start(self) -> subprocess.Popen[str]:
        """Start the launcher; its pid is left where injected faults find it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environ = self.environment()
        process = subprocess.Popen(self.arguments(), cwd=ROOT, env=environ, text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        (self.folder / "launcher.pid").write_text(str(process.pid))
        return process

    def run(self) -> tuple[int, str]:
        """Run to the end; returns exit code and output."""
        process = self.start()
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
        return process.returncode, output

    def final_state(self) -> dict[str, Any]:
        """The checkpoint after the last step."""
        state: dict[str, Any] = torch.load(self.checkpoints / f"model_iter{self.steps}.pth", weights_only=True)
        return state


def fault(folder: Path, *, step: int, rank: int, target: str, number: str) -> dict[str, Any]:
    """A TRAIN.HOOKS entry that injects a signal."""
    args = {"step": step, "rank": rank, "target": target, "number": number, "folder": str(folder)}
    return {"type": "harness.faults:Fault", "args": args}


def differences(expected: Any, found: Any, path: str = "") -> list[str]:
    """The places where two nests of dicts, lists, numbers and tensors are not bit for bit the same."""
    if isinstance(expected, torch.Tensor) and isinstance(found, torch.Tensor):
        same = (
            expected.dtype == found.dtype
            and expected.shape == found.shape
            and torch.equal(_bits(expected), _bits(found))
        )
        return [] if same else [path]
    if type(expected) is not type(found):
        return [f"{path}: {type(expected).__name__} and {type(found).__name__}"]
    if isinstance(expected, dict):
        keys = [*expected, *(key for key in found if key not in expected)]
        missing = [f"{path}.{key} on one side only" for key in keys if (key in expected) != (key in found)]
        return missing + [place for key in keys if key in expected and key in found
                          for place in differences(expected[key], found[key], f"{path}.{key}")]  # fmt: skip
    if isinstance(expected, (list, tuple)):
        if len(expected) != len(found):
            return [f"{path}: {len(expected)} and {len(found)} entries"]
        pairs = enumerate(zip(expected, found, strict=True))
        return [place for index, (one, other) in pairs for place in differences(one, other, f"{path}[{index}]")]
    return [] if expected == found else [f"{path}: {expected!r} and {found!r}"]


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(torch.uint8) if tensor.dim() else tensor.reshape(1).view(torch.uint8)
