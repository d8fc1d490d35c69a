"""Ranks of one job that do not run the same: found before they train, and never tried again."""

from __future__ import annotations

from pathlib import Path

from harness.launcher import bench

PROGRAM = """
from pet.config import load_config
from pet.engine.entry import run

def main(args, session):
    odd = ["SOLVER.OPTIMIZER.BASE_LR", "0.5"] if RANK == 1 else []
    session.start(load_config("cls", cfg_file=args.cfg_file, overrides=odd, world_size=session.world_size))
    note("started")

run(main, "tools/tasks/cls/train_net.py")
"""


def test_another_configuration_on_one_rank_ends_the_job_with_78_at_its_first_start(tmp_path: Path) -> None:
    with bench(tmp_path, PROGRAM) as job:
        launched = job.launch("--nproc", "2", OMP_NUM_THREADS="1")
        assert launched.wait() == 78
        assert launched.termination["class"] == "ConfigError"
        assert "rank 1: configuration is " in launched.termination["message"]
        assert len(job.journal("start")) == 2
        assert job.journal("started") == []
