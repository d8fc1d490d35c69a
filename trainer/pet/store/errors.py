"""Why a checkpoint folder cannot be used, or must not be written to."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pet.config.errors import ConfigError

# What is left to do where no checkpoint is left.
BEGIN_ANEW = (
    "begin anew: `pet run --local` with --fresh; on a cluster delete the job and apply it again with "
    "checkpoint.resume: Never; by hand with TRAIN.AUTO_RESUME False"
)


class Corrupt(Exception):
    """A file does not hold the bytes that were written; the message says in what it differs."""


class CheckpointUnusable(Exception):
    """Checkpoints exist and none of them verifies. Training never falls back to step 0 in silence."""


class Fenced(Exception):
    """A newer attempt or restart, or another owner, has the checkpoint folder: this process must not write."""


class StorageFull(OSError):
    """The volume takes no checkpoints: it is full, read-only or broken. Only somebody else can cure that."""


# What only another folder or other rights can cure.
_NOT_USABLE = frozenset({errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
# What deleting something can cure.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def usable(path: str, field: str) -> Iterator[None]:
    """Turn an OSError that says that `path` cannot be a folder of ours into a ConfigError on `field`, and one that says
    that its volume takes no writes into StorageFull; others pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EROFS, *NO_ROOM):
            raise StorageFull(f"{path!r} takes no writes ({error}): make room there, or mend its volume") from error
        if error.errno not in _NOT_USABLE:
            raise
        raise ConfigError.of(
            field,
            f"{path!r} cannot be used ({error}): give a folder that this process may write to",
        ) from error
