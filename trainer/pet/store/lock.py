"""One process per folder: an advisory lock that ends with the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
from pathlib import Path
from types import TracebackType

from pet.config.errors import ConfigError
from pet.store.errors import usable
from pet.store.files import make_directory
from pet.store.names import LOCK

logger = logging.getLogger(__name__)

# What a volume answers that knows no locks. Two writers are then told apart by the owner record alone.
_UNSUPPORTED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


class FolderLock:
    """Holds `<path>/.lock` from `acquire`, or from entering a `with` block, until `release` or the end of the process.

    Child processes do not inherit it. The folder is made if need be. `field` is what the user named the folder by.
    """

    def __init__(self, path: str | Path, field: str = "MISC.CKPT") -> None:
        self.path = os.fspath(path)
        self.field = field
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises what `try_acquire` does, and ConfigError naming another process that has it."""
        holder = self.try_acquire()
        if holder is not None:
            raise ConfigError.of(
                self.field,
                f"folder {self.path!r} is in use by {holder}: wait for it to end or give another folder",
            )

    def try_acquire(self) -> str | None:
        """Take the lock, or name the process that has it.

        Raises ConfigError if the folder cannot be used, StorageFull if its volume takes no writes.
        """
        with usable(self.path, self.field):
            make_directory(self.path)
            descriptor = os.open(os.path.join(self.path, LOCK), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            return holder or "another process"
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                os.close(descriptor)
                raise
            logger.warning(
                "the volume of %s knows no locks (%s): a second launcher is only found by its owner record",
                self.path,
                error.strerror,
            )
        self._descriptor = descriptor
        with contextlib.suppress(OSError):  # who holds it is good to know; on a full volume it is held all the same
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        return None

    def release(self) -> None:
        """Give the lock back; does nothing without one."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FolderLock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.release()
