"""What a rank tells the launcher's watchdog: sections, collectives, batches of an evaluation; and how long it waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.ranks import run_ranks
from harness.toy import Toy, ToyModel, short_toy, toy_config, toy_session
from torch import nn

from pet.engine.distributed import get_rank, limit_waits, synchronize
from pet.engine.errors import PeerLost
from pet.engine.loader import make_test_data_loader
from pet.engine.signs import send_signs_to
from pet.runfiles.heartbeat import Heartbeat, HeartbeatWriter, Section, read_heartbeat
from pet.runfiles.patience import write_patience


class Trace:
    """What the launcher would see at a hook's points."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[tuple[str, int, Section]] = []

    def before_step(self, storage: Any) -> None:
        self._look("before")

    def after_backward(self, storage: Any) -> None:
        self._look("backward")

    def after_step(self, storage: Any) -> None:
        self._look("after")

    def on_checkpoint(self, state: Any) -> None:
        self._look("save")

    def _look(self, where: str) -> None:
        beat = read_heartbeat(self.path)
        assert beat is not None
        self.seen.append((where, beat.iteration, beat.section))


def test_a_save_is_told_for_as_long_as_it_lasts(tmp_path: Path) -> None:
    """A hook that hangs after it is not waited for as long as a disk may take."""
    session = toy_session(tmp_path / "run")
    trace = Trace(session.run_dir.heartbeat(0))
    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 2, "SOLVER.SNAPSHOT_ITER", 1)
    Toy(tmp_path, cfg, hooks=[trace], session=session).build().run()
    assert [entry for entry in trace.seen if entry[0] in ("save", "before", "after")] == [
        ("before", 0, Section.INIT), ("after", 1, Section.STEP), ("save", 1, Section.SAVE),
        ("before", 1, Section.STEP), ("after", 2, Section.STEP), ("save", 2, Section.SAVE),
    ]  # fmt: skip


def test_a_section_within_another_ends_with_it(tmp_path: Path) -> None:
    session = toy_session(tmp_path)
    session.enter(Section.STEP)
    with session.within(Section.EVAL):
        with session.within(Section.SAVE):
            assert session.heartbeat.section is Section.SAVE
        assert session.heartbeat.section is Section.EVAL
    assert session.heartbeat.section is Section.STEP


def test_every_batch_of_an_evaluation_is_a_sign(tmp_path: Path) -> None:
    heartbeat = HeartbeatWriter(tmp_path / "beat", attempt=1, restart=0, rank=0, local_rank=0)
    send_signs_to(heartbeat)
    loader = make_test_data_loader(toy_config("TEST.IMS_PER_GPU", 4), [(float(index), index) for index in range(12)])
    seen = []
    for _ in loader:
        beat = read_heartbeat(tmp_path / "beat")
        assert beat is not None
        seen.append(beat.monotonic_seconds)
    assert len(seen) == len(set(seen)) == 3


def _behind(folder: str) -> Heartbeat | None:
    """Rank 1 does not join in the third barrier."""
    path = Path(folder) / f"beat-{get_rank()}"
    send_signs_to(HeartbeatWriter(path, attempt=1, restart=0, rank=get_rank(), local_rank=0))
    synchronize()
    synchronize()
    limit_waits(0.5)
    if get_rank() == 0:
        with pytest.raises(PeerLost):
            synchronize()
    return read_heartbeat(path)


def test_a_rank_that_waits_is_ahead_by_its_collectives_and_gives_up_at_the_limit(tmp_path: Path) -> None:
    waited, waited_for = run_ranks(_behind, 2, str(tmp_path))
    assert (waited.collective, waited_for.collective) == (3, 2)
    assert waited_for.place < waited.place


@pytest.mark.parametrize(
    ("stall", "learnt", "silence", "limit"),
    [
        ("auto", 600, 1.0, 630.0),
        ("auto", 600, 300.0, 1530.0),
        ("auto", 2500, 300.0, 2530.0),
        ("20", 600, 9, 630),
        ("900", 900, 9, 930),
    ],
)
def test_waits_are_limited_after_the_first_step_a_little_above_the_watchdog_s_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stall: str, learnt: int, silence: float, limit: float
) -> None:
    limits: list[float] = []
    monkeypatch.setattr("pet.engine.hooks.waits.limit_waits", limits.append)
    monkeypatch.setenv("PETJOB_STALL_SECONDS", stall)
    session = toy_session(tmp_path / "run")
    write_patience(session.run_dir.patience, learnt)
    session.heartbeat.longest_silence = silence
    cfg = toy_config("SOLVER.SCHEDULER.TOTAL_ITERS", 3, "MISC.DISPLAY_ITER", 1)
    Toy(tmp_path, cfg, session=session).build().run()
    assert limits == [limit]


class Listening(ToyModel):
    """With a batch norm; notes what the launcher has heard last while batch-norm statistics are measured."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.path = path
        self.heard: list[float] = []

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        beat = read_heartbeat(self.path)
        if beat is not None and beat.section is Section.EVAL:
            self.heard.append(beat.monotonic_seconds)
        return super().forward(self.norm(inputs), targets)


def test_every_batch_that_statistics_are_measured_over_is_a_sign(tmp_path: Path) -> None:
    session = toy_session(tmp_path / "run")
    model = Listening(session.run_dir.heartbeat(0))
    keys = ("TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 5)
    short_toy(tmp_path, 1, *keys, model=lambda: model, session=session).run()
    assert len(model.heard) == len(set(model.heard)) == 5
