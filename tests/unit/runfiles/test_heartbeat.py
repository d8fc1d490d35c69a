"""The heartbeat file: what a rank stores is what the launcher reads, whole, at any moment."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from harness.busy import TIMEOUT, beat, writing
from hypothesis import given
from hypothesis import strategies as st

from pet.runfiles.heartbeat import HeartbeatReader, HeartbeatWriter, Section, read_heartbeat

READS = 20_000


def writer(path: Path, **changes: int) -> HeartbeatWriter:
    return HeartbeatWriter(path, **{"attempt": 2, "restart": 1, "rank": 5, "local_rank": 1, **changes})


def test_new_heartbeat_tells_who_it_is_and_that_nothing_is_done(tmp_path: Path) -> None:
    before = time.monotonic()
    writer(tmp_path / "beat")
    beat = read_heartbeat(tmp_path / "beat")
    assert beat is not None
    assert (beat.attempt, beat.restart, beat.rank, beat.local_rank, beat.pid) == (2, 1, 5, 1, os.getpid())
    assert (beat.section, beat.iteration, beat.steps, beat.last_step_seconds) == (Section.INIT, 0, 0, 0.0)
    assert before <= beat.monotonic_seconds <= time.monotonic()


def test_a_rank_whose_file_is_deleted_is_still_heard(tmp_path: Path) -> None:
    # systemd clears a user's files in memory when the last session ends, and a training may go on.
    heart, reader = writer(tmp_path / "beat"), HeartbeatReader(tmp_path / "beat")
    assert reader.read() is not None
    (tmp_path / "beat").unlink()
    heart.step(7, 0.5, 0.25)
    beat = reader.read()
    assert beat is not None
    assert beat.iteration == 7


def test_a_reader_waits_for_its_file(tmp_path: Path) -> None:
    reader = HeartbeatReader(tmp_path / "beat")
    assert reader.read() is None
    (tmp_path / "beat").touch()
    assert reader.read() is None
    writer(tmp_path / "beat")
    assert reader.read() is not None


def test_steps_add_up_and_changes_of_section_keep_them(tmp_path: Path) -> None:
    heart = writer(tmp_path / "beat")
    heart.identify(attempt=3, restart=0, iteration=100)
    heart.enter(Section.STEP)
    resumed = read_heartbeat(tmp_path / "beat")
    heart.step(101, 0.5, 0.25)
    heart.begin_collective()
    heart.begin_collective()
    heart.step(102, 1.5, 0.5)
    stepped = read_heartbeat(tmp_path / "beat")
    heart.enter(Section.SAVE)
    saving = read_heartbeat(tmp_path / "beat")
    heart.close()
    assert resumed is not None
    assert stepped is not None
    assert saving is not None
    assert (resumed.attempt, resumed.restart, resumed.rank, resumed.iteration, resumed.steps) == (3, 0, 5, 100, 0)
    assert (stepped.iteration, stepped.collective, stepped.steps) == (102, 2, 2)
    assert (stepped.step_seconds, stepped.data_seconds) == (2.0, 0.75)
    assert (saving.section, saving.iteration, saving.steps) == (Section.SAVE, 102, 2)
    assert saving.last_step_seconds == stepped.last_step_seconds == stepped.monotonic_seconds
    assert saving.monotonic_seconds >= stepped.monotonic_seconds
    assert read_heartbeat(tmp_path / "beat") == saving, "a closed file stays readable"


@pytest.mark.parametrize("content", [None, b"", bytes(300), b"\xff" * 300, b"short"])
def test_no_heartbeat_or_none_that_proves_itself_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "beat").write_bytes(content)
    assert read_heartbeat(tmp_path / "beat") is None


@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_half_a_record_is_never_read(tmp_path_factory: pytest.TempPathFactory, position: int, bit: int) -> None:
    path = tmp_path_factory.mktemp("beat") / "beat"
    heart = writer(path)
    heart.step(1, 0.1, 0.0)
    heart.step(2, 0.1, 0.0)
    heart.close()
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 1 << bit
    path.write_bytes(data)
    beat = read_heartbeat(path)
    assert beat is not None
    assert (beat.iteration, beat.steps) in {(2, 2), (1, 1)}, "one slot is damaged: the other one counts"


def test_reader_beside_a_busy_writer_sees_whole_records_in_order(tmp_path: Path) -> None:
    newest, reads, seen, deadline = 0, 0, set(), time.monotonic() + TIMEOUT
    with writing(beat, tmp_path / "beat") as process:
        while reads < READS or len(seen) <= 100:
            assert process.is_alive()
            assert time.monotonic() < deadline, f"{reads} readable records, {len(seen)} of them different"
            found = read_heartbeat(tmp_path / "beat")
            if found is None or not found.steps:  # not begun, or the writer lost its processor within a record
                continue
            reads += 1
            assert found.iteration == found.steps == found.step_seconds == 2 * found.data_seconds
            assert found.iteration >= newest, "never back to an older record"
            newest = found.iteration
            seen.add(newest)


def test_full_file_system_is_an_error_at_once_and_not_a_dead_process_later() -> None:
    with pytest.raises(OSError, match="No space left"):
        writer(Path("/dev/full"))
