"""Removes folders of the bed's own, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path


def remove(folder: Path, *, below: Path) -> None:
    """Remove a folder strictly below another, if it is there; links in it are removed, never followed.

    Raises ValueError for one that lies elsewhere, by `..` or by a link on the way to it.
    """
    base = below.resolve(strict=True)
    place = folder.parent.resolve() / folder.name
    if folder.name in ("", "..") or base not in place.parents or place.is_symlink():
        raise ValueError(f"{folder} is not a folder below {below}: left alone")
    if place.exists():
        shutil.rmtree(place)
