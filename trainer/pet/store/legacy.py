"""A `model_latest.pth` without a manifest: left by an older Pet, or what remains of a damaged folder."""

from __future__ import annotations

import zipfile

from pet.store.errors import BEGIN_ANEW, CheckpointUnusable, Corrupt
from pet.store.files import Digest, digest_of
from pet.store.folder import Folder
from pet.store.names import LATEST
from pet.store.owner import Owner


def legacy_digest(folder: Folder, owner: Owner | None) -> Digest:
    """Size and CRC32 of the folder's `model_latest.pth`, if training may begin with it.

    It may where there is no owner yet, and where the owner began with the very same bytes and died before its first
    commit. Otherwise it is the last link to a checkpoint that lost its manifest: raises CheckpointUnusable.
    """
    path = folder.at(LATEST)
    try:
        digest = digest_of(path)
    except (Corrupt, FileNotFoundError) as problem:  # the latter of a link that leads nowhere
        raise CheckpointUnusable(f"{path} cannot be used: {problem}") from problem
    if owner is None:
        check_archive(path)
    elif owner.legacy != digest:
        raise CheckpointUnusable(
            f"{path} is there, but the manifest of its checkpoint is not. Restore the manifest, or {BEGIN_ANEW}"
        )
    return digest


def check_archive(path: str) -> None:
    """Compare a file of `torch.save` with the checksums inside it, which no load of torch does.

    Raises CheckpointUnusable; OSError passes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except OSError:
        raise
    except Exception as error:  # a damaged header makes zipfile raise nearly anything
        raise CheckpointUnusable(f"{path} is damaged or no file of torch.save: {error}") from error
    if broken is not None:
        raise CheckpointUnusable(f"{path} is damaged: {broken} has another checksum")
