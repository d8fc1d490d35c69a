"""Why a checkpoint folder cannot be used, or must not be written to."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pet.config.errors import ConfigError


class Corrupt(Exception):
    """A file does not hold the bytes that were written; the message says in what it differs."""


class CheckpointUnusable(Exception):
    """Checkpoints exist and none of them verifies. Training never falls back to step 0 in silence."""


class Fenced(Exception):
    """A newer attempt or restart, or another owner, has the checkpoint folder: this process must not write."""


# What only another folder or other rights can cure.
_NOT_USABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})


@contextmanager
def usable(path: str, field: str) -> Iterator[None]:
    """Turn an OSError that says that `path` cannot be a folder of ours into a ConfigError on `field`; others pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_USABLE:
            raise
        raise ConfigError.of(
            field,
            f"{path!r} cannot be used ({error}): give a folder that this process may write to",
        ) from error
