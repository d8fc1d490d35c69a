"""What the launcher refuses before anything is started: exit code 78, once, with everything that has to be changed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.launcher import CFG, SCRIPT, Bench, Launched, bench

from pet.store.lock import FolderLock
from pet.store.opening import open_folder
from pet.store.owner import Identity

PROGRAM = 'note("environment", environ=dict(os.environ), argv=sys.argv)'


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path, PROGRAM) as opened:
        yield opened


def refused(launched: Launched) -> str:
    """The launcher ended with 78 and started nothing; what it said."""
    assert launched.wait() == 78, launched.err
    assert launched.bench.journal() == []
    message = launched.termination
    assert (message["class"], message["exitCode"]) == ("ConfigError", 78)
    for line in message["message"].splitlines():
        assert line in launched.err
    return launched.err


def test_every_problem_of_the_configuration_is_named_at_once(made: Bench) -> None:
    said = refused(made.launch("SOLVER.OPTIMIZR.BASE_LR", "1", "MISC.SEED", "x"))
    assert "SOLVER.OPTIMIZR" in said
    assert "MISC.SEED" in said


def test_batch_that_does_not_divide_by_the_ranks(made: Bench) -> None:
    assert "TRAIN.BATCH_SIZE" in refused(made.launch("--nproc", "3", "TRAIN.BATCH_SIZE", "64"))


def test_script_that_is_not_there(made: Bench) -> None:
    said = refused(made.launch("--cfg", "cfgs/tasks/face/a.yaml"))
    assert "tools/tasks/face/train_net.py" in said
    assert SCRIPT in said


def test_environment_that_does_not_parse(made: Bench) -> None:
    said = refused(made.launch(PETJOB_GRACE_SECONDS="soon", PETJOB_RESTARTS_LEFT="many"))
    assert "PETJOB_GRACE_SECONDS" in said
    assert "PETJOB_RESTARTS_LEFT" in said


def test_several_nodes_without_a_common_identity(made: Bench) -> None:
    said = refused(made.launch(PET_NNODES="2"))
    assert "PETJOB_UID" in said
    assert "PETJOB_ATTEMPT" in said


def test_usage_error_is_a_configuration_error(made: Bench) -> None:
    assert "--nproc" in refused(made.launch("--nproc", "two"))


def test_devices_with_a_cpu_configuration(made: Bench) -> None:
    assert "MISC.DEVICE is cpu" in refused(made.launch("--gpu_id", "0"))


def test_cuda_configuration_without_a_device_never_falls_back(made: Bench) -> None:
    assert "set MISC.DEVICE cpu" in refused(made.launch("MISC.DEVICE", "cuda", CUDA_VISIBLE_DEVICES=""))


def test_port_that_is_taken(made: Bench) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused(made.launch(PETJOB_METRICS_PORT=port))
    assert "PETJOB_METRICS_PORT" in said
    assert port in said


def test_folder_of_run_files_that_cannot_be_made(made: Bench) -> None:
    (made.folder / "file").touch()
    assert "PETJOB_RUN_DIR: cannot be made" in refused(made.launch(PETJOB_RUN_DIR=str(made.folder / "file")))


def test_checkpoint_folder_that_another_launcher_holds(made: Bench) -> None:
    with FolderLock(made.folder / "taken"):
        assert "is in use by" in refused(made.launch("MISC.CKPT", "taken"))


def test_checkpoint_folder_of_a_job_in_a_cluster(made: Bench) -> None:
    open_folder(str(made.folder / "taken"), Identity("cluster", "default", "job", "a-uid", 5))
    launched = made.launch("MISC.CKPT", "taken")
    assert launched.wait() == 78
    assert (made.journal(), launched.termination["type"]) == ([], "ForeignOwner")
    assert "the checkpoint folder belongs to job default/job (uid a-uid" in launched.err


def test_checkpoints_that_nobody_knows_the_owner_of(made: Bench) -> None:
    (made.folder / "lost").mkdir()
    (made.folder / "lost" / "OWNER").write_text("torn")
    (made.folder / "lost" / "model_iter5.manifest.json").write_text("{}")
    launched = made.launch("MISC.CKPT", "lost")
    assert launched.wait() == 80
    assert (made.journal(), launched.termination["class"]) == ([], "CheckpointUnusable")
    assert "OWNER is unreadable" in launched.err


def test_help_is_no_error(made: Bench) -> None:
    launched = made.launch("--help")
    assert launched.wait() == 0
    for option in ("--cfg", "--gpu_id", "--nproc", "--type"):
        assert option in launched.out


def test_training_script_by_itself_hands_over_to_the_launcher(tmp_path: Path) -> None:
    made = Bench(tmp_path)
    made.write(
        PROGRAM,
        before=f"import sys\nfrom pet.launch.handover import ensure_ranks\nensure_ranks({SCRIPT!r}, sys.argv[1:])\n",
    )
    try:
        launched = made.launch("MISC.SEED", "7", program=SCRIPT)
        assert launched.wait() == 0, launched.err
        (entry,) = made.journal("environment")
        assert entry["argv"] == [SCRIPT, f"--cfg={CFG}", "--local_rank=0", "MISC.SEED", "7"]
        assert entry["environ"]["WORLD_SIZE"] == "1"
    finally:
        made.close()
