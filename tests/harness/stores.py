"""Checkpoint folders with small contents that tell what they are."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pet.store.folder import Selected
from pet.store.manifest import Manifest
from pet.store.opening import open_folder
from pet.store.owner import Identity, Owner, parse_owner
from pet.store.tenure import Tenure

JOB = Identity(cluster="c1", namespace="ns", name="job", uid="uid-1", attempt=1)


def draft(tenure: Tenure, iteration: int, file: str = "") -> Manifest:
    """A manifest that lacks size and checksum."""
    owner = tenure.owner
    return Manifest(iteration, file or f"model_iter{iteration}.pth", 0, 0, 1, "hash", "2.15", 1, 0, owner.uid,
                    owner.attempt, owner.restart)  # fmt: skip


def content(iteration: int, salt: str = "") -> bytes:
    """The bytes of a checkpoint: every one of them differs between iterations."""
    return f"<{iteration}{salt}>".encode() * 40


def save(tenure: Tenure, iteration: int, file: str = "", *, keep: int = 0, salt: str = "",
         link: bool = True) -> Manifest:  # fmt: skip
    """Save as a run does: commit in several writes, then link and retention."""
    data = content(iteration, salt)

    def write(stream: Any) -> None:
        stream.write(data[:50])
        stream.write(data[50:])

    manifest = tenure.commit(draft(tenure, iteration, file), write)
    tenure.publish(manifest, keep=keep, link=link)
    return manifest


def opened(path: Path, identity: Identity = JOB, *, own_only: bool = False) -> tuple[Tenure, Selected | None]:
    """Open the folder."""
    return open_folder(str(path), identity, own_only=own_only)


def saved(path: Path, *iterations: int, identity: Identity = JOB) -> Path:
    """The folder, in which a run has saved these iterations."""
    tenure, _ = opened(path, identity)
    for iteration in iterations:
        save(tenure, iteration)
    return path


def attempt(number: int, identity: Identity = JOB) -> Identity:
    """The same job's attempt of that number."""
    return replace(identity, attempt=number)


def iteration_of(selected: Selected | None, salt: str = "") -> int | None:
    """The iteration that was selected, None for none; what its file holds must be that iteration's bytes."""
    if selected is None:
        return None
    assert selected.manifest is not None
    iteration = selected.manifest.iteration
    assert Path(selected.path).read_bytes() == content(iteration, salt), f"{selected.path} holds other bytes"
    return iteration


def hidden(path: Path, kind: str) -> list[str]:
    """The names that were moved aside: kind `bad`, `superseded` or `rolledback`."""
    return sorted(name for name in os.listdir(path) if name.startswith(f".{kind}-"))


def temporary(path: Path) -> list[str]:
    """Files of writes that are not done."""
    return sorted(name for name in os.listdir(path) if name.startswith(".tmp-"))


@dataclass(frozen=True)
class Picture:
    """A folder's names and contents, to compare."""

    files: dict[str, bytes]

    @classmethod
    def of(cls, path: Path) -> Picture:
        return cls({str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()})


def overwrite(path: Path, data: bytes) -> None:
    """Change a committed file, which is read-only, in place; one that is gone is made."""
    if path.exists():
        os.chmod(path, 0o644)
    path.write_bytes(data)


def owner_in(path: Path) -> Owner:
    """What OWNER says."""
    return parse_owner((path / "OWNER").read_bytes())


def old_checkpoint(path: Path, data: bytes = b"old weights") -> None:
    """Something in the archive format of `torch.save`, for folders that an older Pet left."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
