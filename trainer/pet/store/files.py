"""Bytes to and from the disk: the only places that write, flush, move and read the store's files.

Everything goes through plain calls of `os`, in the order in which the protocol relies on them.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pet.store.errors import Corrupt

T = TypeVar("T")

READ_RETRIES = 3
RETRY_SECONDS = 1.0
_CHUNK = 4 * 1024 * 1024
# Readable by everybody, writable by nobody: an old tool must not write into a committed file through a link to it.
_MODE = 0o444


@dataclass(frozen=True)
class Digest:
    """Size and CRC32 of a file's content."""

    bytes: int
    crc32: int


class ChecksumWriter:
    """A binary file object for `torch.save` that counts the bytes and their CRC32 as they pass.

    `torch.save` replaces an error of its file by one that does not tell the cause; the first one is kept in `error`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._bytes = 0
        self._crc32 = 0
        self.error: Exception | None = None

    @property
    def digest(self) -> Digest:
        """Of everything written so far."""
        return Digest(self._bytes, self._crc32)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write all of `data`; returns its length."""
        view = memoryview(data).cast("B")
        try:
            done = 0
            while done < len(view):
                done += os.write(self._descriptor, view[done:])
        except Exception as error:
            self.error = self.error or error
            raise
        self._bytes += len(view)
        self._crc32 = zlib.crc32(view, self._crc32)
        return len(view)

    def flush(self) -> None:
        """Nothing is buffered here."""


def write_durably(path: str, write: Callable[[ChecksumWriter], object]) -> Digest:
    """Make the new file `path` with what `write` writes, and wait until it is on the disk.

    Raises FileExistsError if there is such a file. After any other error there is none, unless the volume lets nothing
    be deleted, and the cause is raised.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    writer = ChecksumWriter(descriptor)
    try:
        try:
            write(writer)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException as error:
        discard(path)
        if writer.error is not None and writer.error is not error:
            raise writer.error from error
        raise
    return writer.digest


def sync_directory(path: str) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: str) -> None:
    """Make a folder and those above it, durably. Raises OSError, NotADirectoryError if the name is taken."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(os.path.abspath(path))
    make_directory(parent)
    try:
        os.mkdir(path)
    except FileExistsError as error:
        if not os.path.isdir(path):  # else another process has made it
            text = f"{os.strerror(errno.ENOTDIR)}, and no link to one that is there"
            raise NotADirectoryError(errno.ENOTDIR, text, path) from error
    sync_directory(parent)


def remove(path: str) -> None:
    """Delete a file; it may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def discard(path: str) -> None:
    """Delete a file after an error, which is the one to be told of: a read-only volume lets nothing be deleted."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def open_file(path: str) -> io.FileIO:
    """A file to read, unbuffered. Raises OSError, and Corrupt if it is none: who opens a pipe waits for its writer."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise Corrupt("it is a folder" if stat.S_ISDIR(mode) else "it is no file")
    return open(path, "rb", buffering=0)


def read_bytes(path: str) -> bytes:
    """The content of a small file. Raises OSError, and Corrupt if the disk cannot read it or it is no file."""

    def read() -> bytes:
        with open_file(path) as file:
            return file.read()

    return patiently(read)


def digest_of(path: str) -> Digest:
    """Size and CRC32 of a file, read as a whole. Raises OSError, and Corrupt if the disk cannot read it or it is no
    file."""

    def read() -> Digest:
        buffer = memoryview(bytearray(_CHUNK))
        total = crc = 0
        with open_file(path) as file:
            while count := file.readinto(buffer):
                total += count
                crc = zlib.crc32(buffer[:count], crc)
        return Digest(total, crc)

    return patiently(read)


def patiently(read: Callable[[], T]) -> T:
    """What `read` returns. An EIO is tried again, a network volume may be late; if it stays, Corrupt is raised."""
    for attempt in range(READ_RETRIES + 1):
        if attempt:
            time.sleep(RETRY_SECONDS)
        try:
            return read()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            last = error
    raise Corrupt(f"it cannot be read: {last}") from last
