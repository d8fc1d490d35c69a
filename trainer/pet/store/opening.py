"""Opening a checkpoint folder: whose it is, what training goes on from, and a folder left in order.

Rank 0 does this once per start. What the folder decides, first row that fits:

a manifest that verifies                           the newest such
manifests or files found corrupt, none verifies    CheckpointUnusable, whatever model_latest.pth says
model_latest.pth, no owner                         left by an older Pet: used unverified, and its bytes are recorded
model_latest.pth and an owner with that record     the same again: we died before our first commit
model_latest.pth otherwise                         CheckpointUnusable: a checkpoint has lost its manifest
anything else                                      nothing: a fresh start

Before that, where the run before met numbers that are not finite, what is not older than that step is hidden.

With `own_only` (resume Never, or from a path) only this job's own checkpoints count, and what others left is moved
aside at this job's first start in the folder.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace

from pet.store.errors import BEGIN_ANEW, CheckpointUnusable, Corrupt, usable
from pet.store.files import make_directory, read_bytes
from pet.store.folder import Entry, Folder, Selected
from pet.store.legacy import legacy_digest
from pet.store.names import LATEST, LEGACY, OWNER, ROLLBACK, SUPERSEDED, data_of, parse_data
from pet.store.owner import Identity, Owner, parse_owner, succeed
from pet.store.tenure import Tenure

logger = logging.getLogger(__name__)

# Beside the checkpoints, what a run appends to.
_RECORDS = ("metrics.json", "tensorboard_log", "log")


def open_folder(path: str, identity: Identity, *, own_only: bool = False) -> tuple[Tenure, Selected | None]:
    """Become the owner of a folder, which is made if need be, and select the checkpoint to go on from.

    Raises ForeignOwner (the folder is left as it is), Fenced, CheckpointUnusable, and ConfigError if the path cannot
    be used.
    """
    with usable(path, identity.folder_field):
        make_directory(path)
        folder = Folder(path)
        try:
            return _open(folder, identity, own_only)
        except FileExistsError:
            logger.warning("%s was claimed by another process at the same time: looking again", path)
            return _open(folder, identity, own_only)


def owner_for(path: str, identity: Identity, *, own_only: bool = False) -> Owner:
    """The record under which `identity` would open a folder now. Only reads; raises what `open_folder` raises for
    the owner it finds."""
    with usable(path, identity.folder_field):
        found = _read_owner(Folder(path)) if os.path.isdir(path) else None
    return succeed(identity, found, new_uid=own_only)


def is_owner(path: str, identity: Identity) -> bool:
    """Whether the folder's record bears this job's uid. Only reads."""
    with usable(path, identity.folder_field):
        found = _read_owner(Folder(path)) if os.path.isdir(path) else None
    return found is not None and found.uid == identity.uid


def _open(folder: Folder, identity: Identity, own_only: bool) -> tuple[Tenure, Selected | None]:
    # Looked for before it is read: if a rival makes it in between, the claim below fails instead of replacing it.
    first = not folder.has(OWNER)
    found = _read_owner(folder)
    owner = succeed(identity, found, new_uid=own_only)
    newcomer = found is None or found.uid != owner.uid
    if newcomer and found is not None:
        logger.warning("%s is taken over from %s", folder.path, found)
    if newcomer and own_only:
        # Before the claim: once we are the owner, a file that does not tell whose it is counts as ours.
        _set_aside(folder, found.uid if found else LEGACY)
        owner = replace(owner, legacy=None)
    uid = owner.uid if own_only else None
    if not _candidates(folder, uid) and not folder.bad_names(uid) and folder.has(LATEST):
        owner = replace(owner, legacy=legacy_digest(folder, found))
    tenure = Tenure(folder, owner)
    tenure.claim(first=first and found is None)
    folder.sweep()
    tenure.obey_rollback()
    return tenure, _select(tenure, uid)


def _read_owner(folder: Folder) -> Owner | None:
    """The folder's record, None if nobody has it. Raises CheckpointUnusable if it cannot be read."""
    try:
        return parse_owner(read_bytes(folder.at(OWNER)))
    except FileNotFoundError:
        return None
    except Corrupt as problem:
        if folder.entries() or folder.bad_names():
            raise CheckpointUnusable(
                f"{folder.at(OWNER)} is unreadable ({problem}): nobody knows whose checkpoints "
                "these are. If they are this job's, delete that file and start again"
            ) from problem
        # The first owner died while writing it, before there was anything to own.
        return None


def _candidates(folder: Folder, uid: str | None) -> list[Entry]:
    """The checkpoints that may be gone on from, newest first: all of them, or those of one owner."""
    return [entry for entry in folder.entries() if uid is None or not entry.manifest or entry.manifest.owner_uid == uid]


def _select(tenure: Tenure, uid: str | None) -> Selected | None:
    """The first row of the table that fits, for a folder that is ours."""
    folder, corrupt = tenure.folder, []
    for entry in _candidates(folder, uid):
        try:
            manifest = folder.verify(entry)
        except Corrupt as problem:
            logger.warning("%s does not verify: %s", folder.at(entry.file), problem)
            folder.quarantine(entry.file, tenure.owner.uid)
            corrupt.append(entry.file)
            continue
        if corrupt:
            logger.warning("going on from iteration %d instead of %s", manifest.iteration, ", ".join(corrupt))
        tenure.resume_from(manifest)
        return folder.selected(manifest)
    bad = folder.bad_names(uid)
    if bad:
        raise CheckpointUnusable(
            f"no checkpoint in {folder.path} verifies; {len(bad)} files were found corrupt, one is {bad[0]}. Restore a "
            f"checkpoint with its manifest, or {BEGIN_ANEW}"
        )
    legacy = tenure.owner.legacy
    return Selected(folder.at(LATEST), legacy.bytes, None) if legacy and folder.has(LATEST) else None


def _set_aside(folder: Folder, uid: str) -> None:
    """Hide what another uid left, manifests first. Nothing is deleted."""
    names = folder.names()
    manifests = [name for name in names if data_of(name)]
    data = [name for name in names if parse_data(name)]
    folder.move_aside(SUPERSEDED, [*manifests, *data, LATEST, ROLLBACK, *_RECORDS], uid)
