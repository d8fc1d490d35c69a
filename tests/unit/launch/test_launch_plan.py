"""What is started: how many ranks, on which devices, with which command line and environment."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pet.config import ConfigError, JobEnvironment
from pet.launch.devices import cpu_ranks, cuda_devices
from pet.launch.options import parse_options
from pet.launch.plan import Plan

# PET_NPROC_PER_NODE, arguments → CPU ranks, or the field that is to blame
CPU: list[tuple[int | None, str, int | str]] = [
    (None, "", 1),
    (None, "--nproc 3", 3),
    (2, "", 2),
    (2, "--nproc 3", 2),
    (None, "--nproc 0", "--nproc"),
    (0, "", "PET_NPROC_PER_NODE"),
    (None, "--gpu_id 0", "--gpu_id"),
]

# PET_NPROC_PER_NODE, arguments, devices that torch sees, CUDA_VISIBLE_DEVICES → devices of the ranks, or the field
CUDA: list[tuple[int | None, str, int, str, tuple[str, ...] | str]] = [
    (None, "", 2, "", ("0", "1")),
    (None, "", 2, "4,6", ("4", "6")),
    (None, "--gpu_id 1", 2, "4,6", ("6",)),
    (None, "--gpu_id 1,0", 2, "", ("1", "0")),
    (None, "", 2, "GPU-a, GPU-b", ("GPU-a", "GPU-b")),
    (1, "", 2, "", ("0",)),
    (1, "--gpu_id 1,0", 2, "", ("1",)),
    (3, "", 2, "", "PET_NPROC_PER_NODE"),
    (0, "", 2, "", "PET_NPROC_PER_NODE"),
    (None, "", 0, "", "MISC.DEVICE"),
    (None, "--nproc 2", 2, "", "--nproc"),
    (None, "--gpu_id 2", 2, "", "--gpu_id"),
    (None, "--gpu_id -1", 2, "", "--gpu_id"),
    (None, "--gpu_id 0,0", 2, "", "--gpu_id"),
    (None, "--gpu_id all", 2, "", "--gpu_id"),
]


@pytest.mark.parametrize(("nproc_per_node", "line", "expected"), CPU)
def test_ranks_on_the_cpu(nproc_per_node: int | None, line: str, expected: int | str) -> None:
    options, environment = (
        parse_options(["--cfg", "a.yaml", *line.split()]),
        JobEnvironment(nproc_per_node=nproc_per_node),
    )
    if isinstance(expected, int):
        assert cpu_ranks(options, environment) == expected
    else:
        with pytest.raises(ConfigError, match=f"^{expected}: "):
            cpu_ranks(options, environment)


@pytest.mark.parametrize(("nproc_per_node", "line", "count", "visible", "expected"), CUDA)
def test_row_21_ranks_on_devices(
    nproc_per_node: int | None,
    line: str,
    count: int,
    visible: str,
    expected: tuple[str, ...] | str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    options, environment = (
        parse_options(["--cfg", "a.yaml", *line.split()]),
        JobEnvironment(nproc_per_node=nproc_per_node),
    )
    if isinstance(expected, tuple):
        assert cuda_devices(options, environment, count) == expected
    else:
        with pytest.raises(ConfigError, match=f"^{expected}: "):
            cuda_devices(options, environment, count)


def test_command_line_of_a_rank(make: Callable[..., Plan]) -> None:
    plan = make("MISC.SEED", "7", "--nproc", "2")
    assert plan.command(1) == [
        sys.executable, "-u", "tools/tasks/cls/train_net.py", "--cfg=cfgs/tasks/cls/small.yaml", "--local_rank=1",
        "MISC.SEED", "7",
    ]  # fmt: skip
    assert (plan.script.path, plan.world_size, plan.devices) == ("tools/tasks/cls/train_net.py", 2, ())


def test_world_size_counts_all_nodes(make: Callable[..., Plan]) -> None:
    plan = make("--nproc", "2", "TRAIN.BATCH_SIZE", "12", PET_NNODES="3", PETJOB_UID="uid", PETJOB_ATTEMPT="1")
    assert (plan.world_size, plan.ranks_per_node, plan.run_id) == (6, 2, "uid-1")


def test_environment_of_ranks(plan: Plan) -> None:
    inherited = {"HOME": "/home", "RANK": "7", "WORLD_SIZE": "9", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "other"}
    environ = plan.rank_environ(inherited, Path("/run/start0"))
    assert environ["HOME"] == "/home"
    assert not {"RANK", "WORLD_SIZE", "MASTER_PORT", "TORCHELASTIC_RUN_ID"} & environ.keys()
    assert (environ["PETJOB_UID"], environ["PETJOB_ATTEMPT"], environ["PETJOB_NAME"]) == ("the-uid", "3", "job")
    assert (environ["PETJOB_RUN_DIR"], environ["PET_NPROC_PER_NODE"]) == ("/run/start0", "2")
    assert (environ["OMP_NUM_THREADS"], environ["CURRENT_TIME"]) == ("1", plan.current_time)
    assert "CUDA_VISIBLE_DEVICES" not in environ


def test_threads_are_left_to_the_user_and_to_a_single_rank(make: Callable[..., Plan], plan: Plan) -> None:
    assert plan.rank_environ({"OMP_NUM_THREADS": "4"}, Path("run"))["OMP_NUM_THREADS"] == "4"
    assert "OMP_NUM_THREADS" not in make().rank_environ({}, Path("run"))


def test_an_empty_checkpoint_folder_and_an_absent_one_are_handed_on_as_they_are(make: Callable[..., Plan]) -> None:
    nothing, config, given = make(PETJOB_CHECKPOINT_DIR=""), make(), make(PETJOB_CHECKPOINT_DIR="/checkpoints/a")
    assert (nothing.checkpoint_dir, nothing.rank_environ({}, Path("run"))["PETJOB_CHECKPOINT_DIR"]) == ("", "")
    assert config.checkpoint_dir == "ckpts/tasks/cls/small"
    assert "PETJOB_CHECKPOINT_DIR" not in config.rank_environ({}, Path("run"))
    assert given.checkpoint_dir == "/checkpoints/a"


def test_script_can_be_named(make: Callable[..., Plan]) -> None:
    assert make("--script", "tools/tasks/cls/train_net.py").script.name == "cls"
    with pytest.raises(ConfigError, match=r"--script: 'tools/vision/train_net\.py' is not here; there are: tools/"):
        make("--script", "tools/vision/train_net.py")


def test_all_problems_of_the_configuration_come_at_once(make: Callable[..., Plan]) -> None:
    with pytest.raises(ConfigError) as raised:
        make("SOLVER.OPTIMIZR", "1", "MISC.SEED", "x")
    assert {problem.field for problem in raised.value.problems} == {"SOLVER.OPTIMIZR", "MISC.SEED"}
    with pytest.raises(ConfigError, match=r"TRAIN\.BATCH_SIZE"):
        make("--nproc", "3", "TRAIN.BATCH_SIZE", "64")


def test_what_is_worth_knowing_of_a_run_is_said_once(make: Callable[..., Plan]) -> None:
    line = ("SOLVER.SCHEDULER.TOTAL_ITERS", "7", "SOLVER.SCHEDULER.STEPS", "[5]", "SOLVER.SCHEDULER.WARM_UP_ITERS", "9")
    [warning] = make(*line).warnings
    assert warning.startswith("SOLVER.SCHEDULER.WARM_UP_ITERS: 9 is not less than TOTAL_ITERS 7")
    assert make(*line, PETJOB_UID="uid", PETJOB_ATTEMPT="1").warnings == ()  # when the job was checked


def test_several_nodes_need_a_common_identity(make: Callable[..., Plan]) -> None:
    with pytest.raises(ConfigError) as raised:
        make(PET_NNODES="2")
    assert [problem.field for problem in raised.value.problems] == ["PETJOB_UID", "PETJOB_ATTEMPT"]
    with pytest.raises(ConfigError, match=r"^PETJOB_ATTEMPT: "):
        make(PET_NNODES="2", PETJOB_UID="uid")


def test_a_node_that_the_job_does_not_have_waits_for_nobody(make: Callable[..., Plan]) -> None:
    with pytest.raises(ConfigError, match=r"^PET_NODE_RANK: is 1, but PET_NNODES is 1: nodes count from 0$"):
        make(PET_NODE_RANK="1")
