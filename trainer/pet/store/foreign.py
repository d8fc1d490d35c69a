"""Reading a model from a path that is not this job's own folder. Nothing is moved or written there."""

from __future__ import annotations

import logging
import os

from pet.config.errors import ConfigError
from pet.store.errors import CheckpointUnusable, Corrupt
from pet.store.folder import Folder, Selected
from pet.store.legacy import check_archive
from pet.store.names import LATEST, OWNER, parse_data

logger = logging.getLogger(__name__)


def select_foreign(path: str, own: str) -> Selected:
    """The checkpoint to begin with: the file `path`, or the newest that verifies in the folder `path`.

    Raises ConfigError if there is none or if it lies in `own`, the job's own folder, and CheckpointUnusable if none
    verifies.
    """
    field, real = "spec.checkpoint.resume", os.path.realpath(path)
    if own and (real + os.sep).startswith(os.path.realpath(own) + os.sep):
        raise ConfigError.of(field, f"{path!r} is in the job's own folder: use Auto to go on from it")
    if os.path.isdir(path):
        selected = _newest(Folder(path))
    elif os.path.isfile(path):
        selected = _file(path)
    else:
        raise ConfigError.of(field, f"there is no file or folder {path!r}")
    if selected is None:
        raise ConfigError.of(field, f"there is no checkpoint in {path!r}")
    return selected


def select_weights(path: str) -> Selected:
    """The file `path` of weights: by its manifest if there is one beside it, else as it is.

    Raises ConfigError if there is no such file, and CheckpointUnusable if it does not verify.
    """
    if not os.path.isfile(path):
        raise ConfigError.of("TRAIN.WEIGHTS", f"there is no file {path!r}")
    return _by_manifest(path) or Selected(path, os.path.getsize(path), None)


def _newest(folder: Folder) -> Selected | None:
    entries = folder.entries()
    for entry in entries:
        try:
            return folder.selected(folder.verify(entry))
        except Corrupt as problem:
            logger.warning("%s does not verify and is passed over: %s", folder.at(entry.file), problem)
    if entries or folder.bad_names() or (folder.has(LATEST) and folder.has(OWNER)):
        raise CheckpointUnusable(f"no checkpoint in {folder.path} verifies")
    return _file(folder.at(LATEST)) if folder.has(LATEST) else None


def _file(path: str) -> Selected:
    """One file: by its manifest if there is one beside it, else by the checksums in its archive."""
    selected = _by_manifest(path)
    if selected is None:
        check_archive(path)
        return Selected(path, os.path.getsize(path), None)
    return selected


def _by_manifest(path: str) -> Selected | None:
    """A file that has a manifest beside it, verified; None for others. Raises CheckpointUnusable."""
    folder, file = Folder(os.path.dirname(path) or os.curdir), os.path.basename(path)
    file = folder.latest.target() or "" if file == LATEST else file
    entry = folder.entry(file) if parse_data(file) else None
    if entry is None:
        return None
    try:
        return folder.selected(folder.verify(entry))
    except Corrupt as problem:
        raise CheckpointUnusable(f"{path} does not verify: {problem}") from problem
