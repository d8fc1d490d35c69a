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
from dataclasses import dataclass
from enum import IntEnum
from operator import itemgetter
from pathlib import Path
from zlib import crc32

from pet.runfiles.place import Place, place

# Attempt, restart, rank, local rank, pid: packed once.
_IDENTITY = struct.Struct("<5q")
# Sequence, iteration, section, collective, steps, four times in seconds, whether it writes: packed at every store.
_STATE = struct.Struct("<Q4q4d?")
_CRC = struct.Struct("<I")
_RECORD = _IDENTITY.size + _STATE.size
_SLOT = _RECORD + _CRC.size
_SLOTS = (slice(0, _SLOT), slice(_SLOT, 2 * _SLOT))
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
    writing: bool = False  # a checkpoint, beside whatever it does, as far as it has heard

    @property
    def place(self) -> Place:
        """How far the rank is, to be compared with others'."""
        return place(self.iteration, self.collective, self.section.name.lower())


class HeartbeatWriter:
    """The rank's side. One thread stores; every store replaces the whole record."""

    def __init__(self, path: str | Path, *, attempt: int, restart: int, rank: int, local_rank: int) -> None:
        """Make the file, in section INIT. Raises OSError, also when the file system is full: later stores cannot."""
        self.longest_silence = 0.0  # seconds between two stores
        self._process = (rank, local_rank, os.getpid())
        self._introduce(attempt, restart)
        self._sequence = 0
        self._iteration = 0
        self.section = Section.INIT
        self._collective = 0
        self._steps = 0
        self._last_step = 0.0
        self._stored = time.monotonic()
        self._step_seconds = 0.0
        self._data_seconds = 0.0
        self._writing = False
        with open(path, "w+b") as file:
            # Real bytes, not a hole: a store into a hole of a full file system would kill the process with SIGBUS.
            file.write(bytes(2 * _SLOT))
            file.flush()
            self._memory = mmap.mmap(file.fileno(), 2 * _SLOT)
        self._store(self._stored)

    def identify(self, *, attempt: int, restart: int, iteration: int) -> None:
        """What rank 0 found in the checkpoint folder: which start this is, and the iteration that it goes on from."""
        self._introduce(attempt, restart)
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

    def write_beside(self, writing: bool) -> None:
        """Whether a checkpoint is written while the rank goes on. Stores where that is new."""
        if writing is not self._writing:
            self._writing = writing
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

    def _introduce(self, attempt: int, restart: int) -> None:
        self._identity = _IDENTITY.pack(attempt, restart, *self._process)
        self._identity_crc = crc32(self._identity)

    def _store(self, now: float) -> None:
        self._sequence = sequence = self._sequence + 1
        if now - self._stored > self.longest_silence:
            self.longest_silence = now - self._stored
        self._stored = now
        state = _STATE.pack(
            sequence,
            self._iteration,
            self.section,
            self._collective,
            self._steps,
            now,
            self._last_step,
            self._step_seconds,
            self._data_seconds,
            self._writing,
        )
        crc = _CRC.pack(crc32(state, self._identity_crc))
        self._memory[_SLOTS[sequence % 2]] = self._identity + state + crc


class HeartbeatReader:
    """The launcher's side. The file is kept open: a rank lives on where its name is deleted, as cleaners of temporary
    files do, and must not seem to be silent."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def read(self) -> Heartbeat | None:
        """The newest whole record, or None while there was no file or is no record in it."""
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY)
            except FileNotFoundError:
                return None
        return _newest(self._descriptor)


def read_heartbeat(path: str | Path) -> Heartbeat | None:
    """What a reader that is made for it reads."""
    return HeartbeatReader(path).read()


def _newest(descriptor: int) -> Heartbeat | None:
    for _ in range(_ATTEMPTS):
        data = os.pread(descriptor, 2 * _SLOT, 0)
        slots = [slot for slot in (data[:_SLOT], data[_SLOT:]) if _verifies(slot)]
        if slots:
            return max(map(_unpacked, slots), key=itemgetter(0))[1]
    return None


def _verifies(slot: bytes) -> bool:
    return slot[_RECORD:] == _CRC.pack(crc32(slot[:_RECORD]))


def _unpacked(slot: bytes) -> tuple[int, Heartbeat]:
    """The sequence number and what was stored."""
    sequence, iteration, section, *rest = _STATE.unpack_from(slot, _IDENTITY.size)
    values = (*_IDENTITY.unpack_from(slot), iteration, Section(section), *rest)
    return sequence, Heartbeat(*values)
