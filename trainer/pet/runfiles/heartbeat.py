"""The heartbeat of a rank: a small memory-mapped file that the rank stores into and the launcher reads.

A store is a copy of about a hundred bytes into shared memory: no system call, no lock, cheap enough for every step. The
file has two slots, written in turn. Each record carries a sequence number and its CRC32, and a reader takes the newest
slot that verifies: it never sees half a record, not even of a rank that was killed while it stored one.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
import zlib
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from pet.runfiles.place import Place, place

# sequence, attempt, restart, rank, local rank, pid, iteration, section, collective, steps, then four times in seconds.
_RECORD = struct.Struct("<Q9q4d")
_CRC = struct.Struct("<I")
_SLOT = _RECORD.size + _CRC.size
_SECTION = 6  # its place after the sequence number
_ATTEMPTS = 3  # a reader may meet both slots half written, if the rank stores twice while it reads


class Section(IntEnum):
    """What a rank is doing."""

    INIT = 0
    DATA = 1
    STEP = 2
    SAVE = 3
    EVAL = 4
    DONE = 5


@dataclass(frozen=True)
class Heartbeat:
    """One record. Monotonic times are those of this machine's `time.monotonic()`, shared by all its processes."""

    attempt: int
    restart: int
    rank: int
    local_rank: int
    pid: int
    iteration: int  # of the last finished step; the iteration resumed from before the first one
    section: Section
    collective: int  # how many collectives it has begun
    steps: int  # finished by this process
    monotonic_seconds: float  # of this store
    last_step_seconds: float  # monotonic time of the last finished step, 0 before the first
    step_seconds: float  # total time in steps, waiting for data included
    data_seconds: float  # total time waiting for data

    @property
    def place(self) -> Place:
        """How far the rank is, to be compared with others'."""
        return place(self.iteration, self.collective, self.section.name.lower())


class HeartbeatWriter:
    """The rank's side. One thread stores; every store replaces the whole record."""

    def __init__(self, path: str | Path, *, attempt: int, restart: int, rank: int, local_rank: int) -> None:
        """Make the file, in section INIT. Raises OSError, also when the file system is full: later stores cannot."""
        self.longest_silence = 0.0  # seconds between two stores
        self._identity = (attempt, restart, rank, local_rank, os.getpid())
        self._sequence = 0
        self._iteration = 0
        self.section = Section.INIT
        self._collective = 0
        self._steps = 0
        self._last_step = 0.0
        self._stored = time.monotonic()
        self._step_seconds = 0.0
        self._data_seconds = 0.0
        with open(path, "w+b") as file:
            # Real bytes, not a hole: a store into a hole of a full file system would kill the process with SIGBUS.
            file.write(bytes(2 * _SLOT))
            file.flush()
            self._memory = mmap.mmap(file.fileno(), 2 * _SLOT)
        self._store(self._stored)

    def identify(self, *, attempt: int, restart: int, iteration: int) -> None:
        """What rank 0 found in the checkpoint folder: which start this is, and the iteration that it goes on from."""
        self._identity = (attempt, restart, *self._identity[2:])
        self._iteration = iteration
        self._store(time.monotonic())

    def enter(self, section: Section) -> None:
        """A change of section."""
        self.section = section
        self._store(time.monotonic())

    def begin_collective(self) -> None:
        """The next collective begins."""
        self._collective += 1
        self._store(time.monotonic())

    def beat(self) -> None:
        """A sign of life within a long section."""
        self._store(time.monotonic())

    def step(self, iteration: int, step_seconds: float, data_seconds: float) -> None:
        """A finished step: its iteration, its duration and the part of it spent waiting for data, both in seconds."""
        now = time.monotonic()
        self._iteration = iteration
        self._steps += 1
        self._step_seconds += step_seconds
        self._data_seconds += data_seconds
        self._last_step = now
        self._store(now)

    def close(self) -> None:
        """Let go of the file; it stays readable."""
        self._memory.close()

    def _store(self, now: float) -> None:
        self._sequence += 1
        if now - self._stored > self.longest_silence:
            self.longest_silence = now - self._stored
        self._stored = now
        record = _RECORD.pack(
            self._sequence,
            *self._identity,
            self._iteration,
            self.section,
            self._collective,
            self._steps,
            now,
            self._last_step,
            self._step_seconds,
            self._data_seconds,
        )
        start = (self._sequence % 2) * _SLOT
        self._memory[start : start + _SLOT] = record + _CRC.pack(zlib.crc32(record))


def read_heartbeat(path: str | Path) -> Heartbeat | None:
    """The newest whole record, or None while there is no file or no record in it."""
    for _ in range(_ATTEMPTS):
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            return None
        records = [record for record in map(_verified, (data[:_SLOT], data[_SLOT:])) if record is not None]
        if records:
            _, *values = max(records)
            values[_SECTION] = Section(values[_SECTION])
            return Heartbeat(*values)
    return None


def _verified(slot: bytes) -> tuple[Any, ...] | None:
    record, crc = slot[: _RECORD.size], slot[_RECORD.size :]
    return _RECORD.unpack(record) if crc == _CRC.pack(zlib.crc32(record)) else None
