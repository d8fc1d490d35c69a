"""What is deleted of one owner's checkpoints, and when. Others' are never touched, nor what was moved aside."""

from __future__ import annotations

import logging
from collections.abc import Collection

from pet.store.errors import Corrupt
from pet.store.folder import Entry, Folder
from pet.store.manifest import Manifest
from pet.store.names import data_of, is_best

logger = logging.getLogger(__name__)


def is_of(entry: Entry, uid: str) -> bool:
    """Whether this owner has written the checkpoint. One whose manifest cannot be read is nobody's."""
    return entry.manifest is not None and entry.manifest.owner_uid == uid


def prune(folder: Folder, uid: str, keep: int, spared: Collection[Manifest | None], every: int = 0) -> None:
    """Delete all but the newest `keep` (0: keep all), those that are `spared`, and those of each `every`-th iteration
    (0: of none)."""
    if keep == 0:
        return
    for entry in _own(folder, uid)[keep:]:
        stays = every > 0 and entry.manifest is not None and entry.manifest.iteration % every == 0
        if entry.manifest not in spared and not stays:
            folder.delete(entry.file)


def prune_best(folder: Folder, uid: str, file: str) -> None:
    """Delete the best models but `file`."""
    for other in filter(None, map(data_of, folder.names())):
        if is_best(other) and other != file:
            entry = folder.entry(other)
            if entry is not None and is_of(entry, uid):
                folder.delete(other)


def make_room(folder: Folder, uid: str) -> bool:
    """Delete all but the newest that verifies, and the best model, for want of room. Whether there was any to delete.

    What is newer and does not verify stays as it is: it is the next start's to judge. Raises OSError.
    """
    own = _own(folder, uid)
    for position, entry in enumerate(own):
        if _verifies(folder, entry):
            for older in own[position + 1 :]:
                folder.delete(older.file)
                logger.warning("%s: %s was deleted to make room", folder.path, older.file)
            return len(own) > position + 1
    return False


def spare_bytes(folder: Folder, uid: str) -> int:
    """How much `make_room` could free, in bytes, if the newest checkpoint verifies."""
    return sum(entry.manifest.bytes for entry in _own(folder, uid)[1:] if entry.manifest)


def _own(folder: Folder, uid: str) -> list[Entry]:
    """This owner's checkpoints that training could go on from, newest first."""
    return [entry for entry in folder.entries() if is_of(entry, uid)]


def _verifies(folder: Folder, entry: Entry) -> bool:
    try:
        folder.verify(entry)
    except Corrupt:
        return False
    return True
