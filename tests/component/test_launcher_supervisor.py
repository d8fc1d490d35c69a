"""The supervisor over real ranks, without torch: what it waits for, whom it ends, and whom it names."""

from __future__ import annotations

import time

import pytest
from harness.launcher import Bench, alive, eventually
from harness.supervisors import Job, run

from pet.launch import ranks
from pet.runfiles.exits import ExitCode
from pet.runfiles.heartbeat import Section


@pytest.mark.parametrize("code", [0, 143])
def test_rank_that_leaves_in_the_middle_is_the_cause_of_what_its_peers_say(bench: Bench, code: int) -> None:
    """As a program does that a rank has become, or that ends it: 143 alone would be a preemption that has saved."""
    script = f"""
    heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(LOCAL_RANK), attempt=1, restart=0, rank=RANK, local_rank=LOCAL_RANK)
    heartbeat.step(12, 0.1, 0.0)
    if RANK == 0:
        os._exit({code})
    sys.exit(75)
    """
    (verdict,) = run(bench, script, PETJOB_RESTARTS_LEFT="0")
    assert (verdict.code, verdict.rank, verdict.iteration) == (ExitCode.APP_ERROR, 0, 12)


def test_rank_that_was_asked_may_leave_as_it_likes(bench: Bench) -> None:
    bench.write("""
    heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(LOCAL_RANK), attempt=1, restart=0, rank=RANK, local_rank=LOCAL_RANK)
    heartbeat.step(12, 0.1, 0.0)
    note("steps")
    while not stops: time.sleep(0.02)
    os._exit(143)
    """)
    job = Job(bench, 1, 1).start()
    eventually(lambda: bench.journal("steps"), "it trains")
    job.supervisors[0].request_stop()
    (verdict,) = job.verdicts()
    assert (verdict.code, len(bench.journal("start"))) == (ExitCode.PREEMPTED, 1)


def test_rank_that_was_done_may_leave_with_0(bench: Bench) -> None:
    script = """
    heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(LOCAL_RANK), attempt=1, restart=0, rank=RANK, local_rank=LOCAL_RANK)
    heartbeat.step(12, 0.1, 0.0)
    heartbeat.enter(Section.DONE)
    """
    (verdict,) = run(bench, script)
    assert verdict.code is ExitCode.SUCCEEDED


@pytest.mark.parametrize(
    "damage",
    [
        "RUN_DIR.metrics(0).write_bytes(b'{')",
        "RUN_DIR.failure(0).write_bytes(bytes(range(256)))",
        "RUN_DIR.failure(0).write_text('[]')",
        "RUN_DIR.heartbeat(0).write_bytes(b'x' * 4096)",
        "shutil.rmtree(RUN_DIR.path), RUN_DIR.path.write_text('no folder')",
    ],
)
def test_damaged_run_files_are_none_and_change_nothing(bench: Bench, damage: str) -> None:
    script = f"""
    import shutil
    {damage}
    os._exit(5)
    """
    (verdict,) = run(bench, script, ranks=1, PETJOB_RESTARTS_LEFT="1")
    assert (verdict.message, len(bench.journal("start"))) == ("exited with code 5 and left no report", 2)


def test_ranks_are_told_how_long_a_silence_was_in_an_earlier_start(bench: Bench) -> None:
    bench.write("""
    from pet.runfiles.patience import read_patience
    note("told", patience=read_patience(RUN_DIR.patience))
    """)
    job = Job(bench, 1, 1)
    job.supervisors[0]._watchdog._longest[Section.EVAL] = 500.0
    job.start().verdicts()
    assert [entry["patience"] for entry in bench.journal("told")] == [2500.0]


def test_same_error_at_the_same_iteration_twice_is_not_started_a_third_time(bench: Bench) -> None:
    script = """
    try:
        raise ValueError("always")
    except ValueError as error:
        write_failure(RUN_DIR.failure(LOCAL_RANK), Failure.of(
            error, exit_code=ExitCode.APP_ERROR, attempt=1, restart=START, rank=RANK, iteration=3))
    sys.exit(1)
    """
    (verdict,) = run(bench, script, ranks=1, PETJOB_RESTARTS_LEFT="3")
    assert (verdict.code, verdict.type) == (ExitCode.APP_ERROR, "ValueError")
    assert len(bench.journal("start")) == 2


def test_error_at_another_iteration_uses_up_the_budget(bench: Bench) -> None:
    script = """
    heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(0), attempt=1, restart=START, rank=0, local_rank=0)
    heartbeat.step(10 + START, 0.1, 0.0)
    try:
        raise ValueError("now and then")
    except ValueError as error:
        write_failure(RUN_DIR.failure(LOCAL_RANK), Failure.of(
            error, exit_code=ExitCode.APP_ERROR, attempt=1, restart=START, rank=RANK, iteration=10 + START))
    sys.exit(1)
    """
    (verdict,) = run(bench, script, ranks=1, PETJOB_RESTARTS_LEFT="3")
    assert (verdict.code, verdict.iteration) == (ExitCode.APP_ERROR, 13)
    assert len(bench.journal("start")) == 4


def test_new_checkpoint_refills_the_budget(bench: Bench) -> None:
    script = """
    (FOLDER / "ckpt").mkdir(exist_ok=True)
    (FOLDER / "ckpt/model_iter100.pth").touch()
    checkpoint = CheckpointInfo(iteration=100 * (1 + START), file="f", bytes=1, saved_at=1.0, verified=True)
    metrics = JobMetrics(attempt=1, restart=START, world_size=1, checkpoint=checkpoint)
    write_metrics_file(RUN_DIR.metrics(LOCAL_RANK), metrics)
    heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(0), attempt=1, restart=START, rank=0, local_rank=0)
    heartbeat.step(100 * (1 + START), 0.1, 0.0)
    heartbeat.enter(Section.DONE)
    sys.exit(0 if START == 4 else 1)
    """
    folder = str(bench.folder / "ckpt")
    (verdict,) = run(bench, script, ranks=1, PETJOB_RESTARTS_LEFT="1", PETJOB_CHECKPOINT_DIR=folder)
    assert verdict.code is ExitCode.SUCCEEDED
    assert len(bench.journal("start")) == 5


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "a record of its owner", "one that does not verify"])
def test_ranks_do_not_begin_from_scratch_where_nothing_of_what_they_saved_is_left(
    bench: Bench, left: str, capfd: pytest.CaptureFixture[str]
) -> None:
    script = """
    checkpoint = CheckpointInfo(iteration=20, file="model_iter20.pth", bytes=1, saved_at=1.0, verified=True)
    metrics = JobMetrics(attempt=1, restart=START, world_size=1, checkpoint=checkpoint)
    write_metrics_file(RUN_DIR.metrics(LOCAL_RANK), metrics)
    sys.exit(1 if START == 0 else 0)
    """
    folder = bench.folder / "ckpt"
    if left != "nothing":
        folder.mkdir()
    if left == "a record of its owner":
        (folder / "OWNER").touch()
    if left == "one that does not verify":  # which is the ranks' to judge
        (folder / ".bad-uid-0-model_iter20.pth").touch()
    (verdict,) = run(bench, script, ranks=1, PETJOB_RESTARTS_LEFT="3", PETJOB_CHECKPOINT_DIR=str(folder))
    gone = f"no restart: iteration 20 was saved, and nothing of it is in '{folder}' any more"
    if left == "one that does not verify":
        assert verdict.code is ExitCode.SUCCEEDED
    else:
        assert (verdict.code, verdict.rank, verdict.spent) == (ExitCode.APP_ERROR, 0, None)
        assert gone in capfd.readouterr().err


def test_cause_is_named_though_a_rank_that_lost_its_peer_ends_first(bench: Bench) -> None:
    (verdict,) = run(bench, "sys.exit(75) if RANK == 0 else (time.sleep(1.0), sys.exit(80))")
    assert (verdict.code, verdict.rank, verdict.signalled) == (ExitCode.CHECKPOINT_UNUSABLE, 1, ())


def test_rank_that_goes_on_after_a_failure_is_ended_and_never_the_cause(bench: Bench) -> None:
    (verdict,) = run(bench, "sys.exit(93) if RANK == 1 else time.sleep(600)")
    assert (verdict.code, verdict.rank, verdict.signalled) == (ExitCode.NO_RESTART, 1, (0,))
    assert bench.journal("signal") == [], "the failure of another rank is no request to save and leave"


@pytest.mark.parametrize("saving", ["enter(Section.SAVE)", "write_beside(True)"])
def test_checkpoint_under_way_is_not_killed_by_the_failure_of_another_rank(bench: Bench, saving: str) -> None:
    script = f"""
    if RANK == 1:
        wait_for("saving")
        sys.exit(93)
    heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(LOCAL_RANK), attempt=1, restart=0, rank=RANK, local_rank=LOCAL_RANK)
    heartbeat.{saving}
    (FOLDER / "saving").touch()
    time.sleep(4)
    note("committed")
    sys.exit(75)
    """
    (verdict,) = run(bench, script)
    assert (verdict.code, len(bench.journal("committed"))) == (ExitCode.NO_RESTART, 1)


def test_children_of_a_dead_rank_are_ended_with_it(bench: Bench) -> None:
    script = """
    child = os.fork()
    if child == 0:
        time.sleep(600)
    note("child", child=child)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    (verdict,) = run(bench, script, ranks=1, PETJOB_RESTARTS_LEFT="0")
    assert verdict.code is ExitCode.CRASH
    (child,) = [entry["child"] for entry in bench.journal("child")]
    eventually(lambda: not alive(child), "the child is gone")


def test_children_in_process_groups_of_their_own_are_ended_too(bench: Bench) -> None:
    script = """
    import subprocess
    note("child", child=subprocess.Popen(["sleep", "600"], process_group=0).pid)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    run(bench, script, ranks=1, PETJOB_RESTARTS_LEFT="0")
    (child,) = [entry["child"] for entry in bench.journal("child")]
    eventually(lambda: not alive(child), "the child is gone")


def test_output_that_daemons_of_ranks_hold_open_is_waited_for_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "_OUTPUT_SECONDS", 3.0)
    script = """
    if os.fork() == 0:
        os.setsid()
        wait_for("over")
        os._exit(0)
    note("end", time=time.monotonic())
    sys.exit(78)
    """
    run(bench, script, ranks=4)
    waited = time.monotonic() - max(entry["time"] for entry in bench.journal("end"))
    bench.touch("over")
    assert waited < 12  # of 24 for each stream on its own


def test_ranks_that_do_not_leave_in_time_are_ended(bench: Bench) -> None:
    bench.write("time.sleep(600) if RANK == 0 else (wait_for('never') if not stops else None)")
    job = Job(bench, 1, 2, PETJOB_GRACE_SECONDS="2").start()
    eventually(lambda: len(bench.journal("start")) == 2, "both ranks start")
    assert job.supervisors[0].request_stop()
    (verdict,) = job.verdicts()
    assert (verdict.code, verdict.signalled) == (ExitCode.PREEMPTED, (0, 1))
    assert [entry["rank"] for entry in sorted(bench.journal("signal"), key=lambda entry: entry["rank"])] == [0, 1]


def test_stop_while_no_rank_runs_starts_none(bench: Bench) -> None:
    bench.write("sys.exit(0)")
    job = Job(bench, 1, 1)
    assert not job.supervisors[0].request_stop()
    (verdict,) = job.start().verdicts()
    assert (verdict.code, bench.journal()) == (ExitCode.PREEMPTED, [])


def test_failure_while_stopping_is_reported_and_not_restarted(bench: Bench) -> None:
    bench.write("while not stops: time.sleep(0.02)\nsys.exit(1 if RANK == 1 else 75)")
    job = Job(bench, 1, 2).start()
    eventually(lambda: len(bench.journal("start")) == 2, "both ranks start")
    job.supervisors[0].request_stop()
    (verdict,) = job.verdicts()
    assert (verdict.code, verdict.rank, len(bench.journal("start"))) == (ExitCode.APP_ERROR, 1, 2)


def test_node_that_lost_a_peer_names_the_cause_on_the_other_node(bench: Bench) -> None:
    first, second = run(bench, "sys.exit(78 if RANK == 1 else 75)", nodes=2, ranks=1)
    assert (first.code, second.code, second.rank) == (ExitCode.PEER_LOST, ExitCode.CONFIG_ERROR, 1)
    assert "rank 1 on node 1: ConfigError" in first.message
    assert len(bench.journal("start")) == 2


def test_node_whose_ranks_notice_nothing_is_told_by_the_other(bench: Bench) -> None:
    first, second = run(bench, "sys.exit(93) if RANK == 0 else time.sleep(600)", nodes=2, ranks=1)
    assert (first.code, second.code, second.signalled) == (ExitCode.NO_RESTART, ExitCode.PEER_LOST, (1,))


def test_stop_of_one_node_ends_the_other_with_143(bench: Bench) -> None:
    bench.write("while not stops: time.sleep(0.02)\nsys.exit(143)")
    job = Job(bench, 2, 1).start()
    eventually(lambda: len(bench.journal("start")) == 2, "both ranks start")
    job.supervisors[1].request_stop()
    assert [verdict.code for verdict in job.verdicts()] == [ExitCode.PREEMPTED, ExitCode.PREEMPTED]
    assert len(bench.journal("signal")) == 2


def test_lost_peer_of_a_preempted_node_counts_as_preempted(bench: Bench) -> None:
    bench.write("sys.exit(75) if RANK == 0 else sys.exit(143)")
    first, second = Job(bench, 2, 1).start().verdicts()
    assert (first.code, second.code) == (ExitCode.PREEMPTED, ExitCode.PREEMPTED)


def test_node_does_not_restart_beside_one_that_is_over(bench: Bench) -> None:
    script = "sys.exit(0) if RANK == 0 else (time.sleep(1.0), sys.exit(1))"
    first, second = run(bench, script, nodes=2, ranks=1, PETJOB_RESTARTS_LEFT="3")
    assert (first.code, second.code) == (ExitCode.PEER_LOST, ExitCode.APP_ERROR)
    assert "finished here, but not everywhere" in first.message
    assert len(bench.journal("start")) == 2


def test_node_that_has_finished_does_not_wait_for_a_launcher_that_is_gone(bench: Bench) -> None:
    bench.write("sys.exit(0)")
    job = Job(bench, 2, 1)
    job.stores[0].gone = True
    _, second = job.start().verdicts()
    assert (second.code, len(bench.journal("start"))) == (ExitCode.SUCCEEDED, 2)


def test_run_files_of_each_start_lie_in_a_folder_of_their_own(bench: Bench) -> None:
    old = bench.folder / "run0" / "start0" / "failure-0.json"
    old.parent.mkdir(parents=True)
    old.write_text("of an earlier launcher")
    run(bench, 'note("files", files=os.listdir(RUN_DIR.path)); sys.exit(3)', ranks=1, PETJOB_RESTARTS_LEFT="1")
    files = [(entry["start"], entry["files"]) for entry in bench.journal("files")]
    assert files == [(0, ["patience"]), (1, ["patience"])]
