"""The heartbeat of a rank: a small memory-mapped file that the rank stores into and the launcher reads.

A store is a copy of about a hundred bytes into shared memory: no system call, no lock, cheap enough for every step. The
file has two slots, written in turn. Each record carries a sequence number and its CRC32, and a reader takes the newest
slot that verifies: it never sees half a record, not even of a rank that was killed while it stored one.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from dataclasses import dataclass, fields
from enum import IntEnum
from operator import attrgetter
from pathlib import Path
from typing import Any
from zlib import crc32

from pet.runfiles.place import Place, place

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


_NAMES = tuple(field.name for field in fields(Heartbeat))
_TYPES: dict[str, type[ctypes._SimpleCData[Any]]] = {
    "int": ctypes.c_int64,
    "Section": ctypes.c_int64,
    "bool": ctypes.c_int64,
    "float": ctypes.c_double,
}


class _Record(ctypes.Structure):
    """A heartbeat as it lies in the file. All fields are of one width: there is nothing between them."""

    _fields_ = (("sequence", ctypes.c_int64), *((field.name, _TYPES[str(field.type)]) for field in fields(Heartbeat)))


class _Slot(ctypes.Structure):
    """A record and its CRC32."""

    _fields_ = (("record", _Record), ("crc", ctypes.c_uint64))


_SIZE = ctypes.sizeof(_Slot)
_SLOTS = (slice(0, _SIZE), slice(_SIZE, 2 * _SIZE))


class HeartbeatWriter:
    """The rank's side. One thread stores; every store replaces the whole record."""

    def __init__(self, path: str | Path, *, attempt: int, restart: int, rank: int, local_rank: int) -> None:
        """Make the file, in section INIT. Raises OSError, also when the file system is full: later stores cannot."""
        self.longest_silence = 0.0  # seconds between two stores
        self.section = Section.INIT
        self._slot = _Slot()
        self._record = record = self._slot.record  # the same memory
        record.attempt, record.restart, record.pid = attempt, restart, os.getpid()
        record.rank, record.local_rank = rank, local_rank
        record.monotonic_seconds = time.monotonic()
        with open(path, "w+b") as file:
            # Real bytes, not a hole: a store into a hole of a full file system would kill the process with SIGBUS.
            file.write(bytes(2 * _SIZE))
            file.flush()
            self._memory = mmap.mmap(file.fileno(), 2 * _SIZE)
        self._store(time.monotonic())

    def identify(self, *, attempt: int, restart: int, iteration: int) -> None:
        """What rank 0 found in the checkpoint folder: which start this is, and the iteration that it goes on from."""
        record = self._record
        record.attempt, record.restart, record.iteration = attempt, restart, iteration
        self._store(time.monotonic())

    def enter(self, section: Section) -> float:
        """A change of section. Returns its monotonic time in seconds."""
        self.section = self._record.section = section
        return self._store(time.monotonic())

    def begin_collective(self) -> None:
        """The next collective begins."""
        self._record.collective += 1
        self._store(time.monotonic())

    def write_beside(self, writing: bool) -> None:
        """Whether a checkpoint is written while the rank goes on. Stores where that is new."""
        if writing != self._record.writing:
            self._record.writing = writing
            self._store(time.monotonic())

    def beat(self) -> None:
        """A sign of life within a long section."""
        self._store(time.monotonic())

    def step(self, iteration: int, step_seconds: float, data_seconds: float) -> None:
        """A finished step: its iteration, its duration and the part of it spent waiting for data, both in seconds."""
        record = self._record
        record.iteration = iteration
        record.steps += 1
        record.step_seconds += step_seconds
        record.data_seconds += data_seconds
        record.last_step_seconds = now = time.monotonic()
        self._store(now)

    def close(self) -> None:
        """Let go of the file; it stays readable."""
        self._memory.close()

    def _store(self, now: float) -> float:
        record, slot = self._record, self._slot
        silence = now - record.monotonic_seconds
        if silence > self.longest_silence:
            self.longest_silence = silence
        record.monotonic_seconds = now
        record.sequence = sequence = record.sequence + 1
        slot.crc = crc32(record)
        self._memory[_SLOTS[sequence % 2]] = slot
        return now


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
        """The newest whole record, or None while there was no file to be read, or is no record in it."""
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY)
            except OSError:
                return None
        return _newest(self._descriptor)


def read_heartbeat(path: str | Path) -> Heartbeat | None:
    """What a reader that is made for it reads."""
    return HeartbeatReader(path).read()


def _newest(descriptor: int) -> Heartbeat | None:
    for _ in range(_ATTEMPTS):
        data = os.pread(descriptor, 2 * _SIZE, 0)
        slots = [_Slot.from_buffer_copy(data[place]) for place in _SLOTS if len(data[place]) == _SIZE]
        records = [slot.record for slot in slots if slot.crc == crc32(slot.record)]
        if records:
            newest = max(records, key=attrgetter("sequence"))
            values = {name: getattr(newest, name) for name in _NAMES}
            return Heartbeat(**values | {"section": Section(newest.section), "writing": bool(newest.writing)})
    return None
