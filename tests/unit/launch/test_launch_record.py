"""What a launcher knows of its job, over all starts of its ranks, read from real run files."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from pet.launch.ranks import RankExit, RankGroup
from pet.launch.record import Phase, Record
from pet.runfiles.checkpoint_info import CheckpointInfo
from pet.runfiles.exits import ExitCode
from pet.runfiles.heartbeat import HeartbeatWriter
from pet.runfiles.histogram import SAVE_SECONDS, Histogram
from pet.runfiles.metrics import JobMetrics, write_metrics_file
from pet.runfiles.rundir import RunDirectory

PEER_LOST = RankExit(rank=0, code=75, order=1, by_us=False, failure=None, iteration=3)
KILLED = RankExit(rank=1, code=-9, order=2, by_us=False, failure=None, iteration=2)


def start(record: Record, folder: Path, *, steps: int, checkpoint: int | None = None) -> RankGroup:
    """Two ranks that have done `steps` steps each; rank 0 has told its numbers."""
    directory = RunDirectory(folder)
    directory.create()
    for rank in (0, 1):
        heart = HeartbeatWriter(directory.heartbeat(rank), attempt=1, restart=0, rank=rank, local_rank=rank)
        for iteration in range(1, steps + 1):
            heart.step(iteration, 0.5, 0.25)
    saves = Histogram(SAVE_SECONDS)
    saves.observe(2.0)
    metrics = JobMetrics(attempt=1, restart=0, world_size=2, samples_total=8 * steps, hook_errors={"JSONWriter": 1},
                         checkpoint_saves={"success": saves})  # fmt: skip
    if checkpoint is not None:
        info = CheckpointInfo(iteration=checkpoint, file="f", bytes=1, saved_at=1.0, verified=True)
        metrics = replace(metrics, checkpoint=info)
    write_metrics_file(directory.metrics(0), metrics)
    group = RankGroup(directory, {0: 0, 1: 1})
    record.started(group)
    return group


def test_counters_are_sums_over_all_starts_and_never_go_down(tmp_path: Path) -> None:
    record = Record()
    first = start(record, tmp_path / "start0", steps=3)
    running = record.snapshot().counters
    record.ended(first)
    assert record.snapshot().counters == running
    record.restarting(ExitCode.CRASH)
    assert record.snapshot().counters == running
    start(record, tmp_path / "start1", steps=2)
    both = record.snapshot()
    assert both.counters.steps == {0: 5, 1: 5}
    assert both.counters.step_seconds == {0: 2.5, 1: 2.5}
    assert both.counters.data_seconds == {0: 1.25, 1: 1.25}
    assert (both.counters.samples, both.counters.hook_errors) == (40, {"JSONWriter": 2})
    assert (both.counters.checkpoint_saves["success"].counts[1], both.starts) == (2, 2)
    assert both.restarts == {"AppError": 0, "PeerLost": 0, "Hang": 0, "NumericGuard": 0, "OOM": 0, "Crash": 1}


def test_phase_follows_the_launcher_and_a_stop_is_not_forgotten(tmp_path: Path) -> None:
    record = Record()
    assert (record.snapshot().phase, record.snapshot().has_rank_zero) == (Phase.RENDEZVOUS, False)
    start(record, tmp_path / "start0", steps=1)
    assert (record.snapshot().phase, record.snapshot().has_rank_zero) == (Phase.RUNNING, True)
    record.enter(Phase.STOPPING)
    start(record, tmp_path / "start1", steps=1)
    assert record.snapshot().phase is Phase.STOPPING


def test_failures_name_the_causes_and_only_without_one_who_lost_a_peer(tmp_path: Path) -> None:
    record = Record()
    group = start(record, tmp_path / "start0", steps=3)
    group.exits = {0: PEER_LOST}
    assert [failure.exit_class for failure in record.snapshot().failures] == ["PeerLost"]
    group.exits = {0: PEER_LOST, 1: KILLED}
    (failure,) = record.snapshot().failures
    assert (failure.rank, failure.exit_class, failure.exit_code, failure.type) == (1, "Crash", 139, "SIGKILL")
    assert failure.iteration == 2
    record.ended(group)
    assert record.snapshot().failures == (failure,), "kept after the ranks are gone"


def test_only_the_newest_failures_are_kept(tmp_path: Path) -> None:
    record = Record()
    for number in range(12):
        group = start(record, tmp_path / f"start{number}", steps=1)
        group.exits = {1: replace(KILLED, iteration=number)}
        record.ended(group)
    assert [failure.iteration for failure in record.snapshot().failures] == list(range(2, 12))


def test_newest_checkpoint_is_remembered_while_a_new_start_has_told_of_none(tmp_path: Path) -> None:
    record = Record()
    record.ended(start(record, tmp_path / "start0", steps=1, checkpoint=40))
    start(record, tmp_path / "start1", steps=1)
    assert record.snapshot().checkpoint == 40
    start(record, tmp_path / "start2", steps=1, checkpoint=50)
    assert record.snapshot().checkpoint == 50


def test_ranks_whose_folder_is_deleted_are_still_seen(tmp_path: Path) -> None:
    record = Record()
    group = start(record, tmp_path / "run", steps=3)
    record.snapshot()
    shutil.rmtree(group.directory.path)
    snapshot = record.snapshot()
    assert {rank: beat.iteration for rank, beat in snapshot.observation.heartbeats.items()} == {0: 3, 1: 3}
    assert snapshot.counters.steps == {0: 3, 1: 3}
