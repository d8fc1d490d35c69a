"""`model_latest.pth`: a hard link to the newest checkpoint, for people and older tools. Resuming never reads it."""

from __future__ import annotations

import errno
import logging
import os

from pet.store.files import remove, sync_directory
from pet.store.names import LATEST, LEGACY, SUPERSEDED, TEMPORARY, aside

logger = logging.getLogger(__name__)

# What a volume answers that knows no hard links.
_UNSUPPORTED = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


class LatestLink:
    """The link of one folder."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._latest = os.path.join(path, LATEST)
        self._supported = True

    def point_at(self, file: str) -> None:
        """Make the link lead to `file`. A `model_latest.pth` that somebody else put there is kept under another name.

        On a volume without hard links there is no `model_latest.pth`; that is said once. Raises OSError.
        """
        target, temporary = os.path.join(self._path, file), os.path.join(self._path, f"{TEMPORARY}latest")
        if os.path.lexists(self._latest):
            # Renaming a link onto a name of the same file would do nothing and leave the temporary name.
            if os.path.exists(self._latest) and os.path.samefile(self._latest, target):
                return
            if self.target() is None:
                hidden = aside(SUPERSEDED, LEGACY, [LATEST], os.listdir(self._path))[LATEST]
                os.rename(self._latest, os.path.join(self._path, hidden))
                logger.warning("%s was not made by this job and is now %s", self._latest, hidden)
        remove(temporary)
        try:
            os.link(target, temporary)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            remove(self._latest)
            if self._supported:
                logger.warning("%s takes no hard links (%s): there is no %s", self._path, error.strerror, LATEST)
            self._supported = False
            return
        os.rename(temporary, self._latest)
        sync_directory(self._path)

    def target(self) -> str | None:
        """The file of this folder that the link leads to, None if it is a file by itself. Raises FileNotFoundError."""
        latest = os.lstat(self._latest)
        with os.scandir(self._path) as entries:
            names = (entry.name for entry in entries if entry.name != LATEST and entry.inode() == latest.st_ino)
            return next(names, None)

    def drop(self, file: str) -> None:
        """Remove the link if it leads to the data `file`."""
        target = os.path.join(self._path, file)
        if os.path.exists(self._latest) and os.path.exists(target) and os.path.samefile(self._latest, target):
            remove(self._latest)
            sync_directory(self._path)
