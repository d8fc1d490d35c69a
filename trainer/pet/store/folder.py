"""A checkpoint folder as it lies on the disk: what is there, whether it verifies, and moving it out of the way.

Nothing here decides; `pet.store.opening` and `pet.store.tenure` do.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass

from pet.store.errors import Corrupt
from pet.store.files import digest_of, read_bytes, remove, sync_directory
from pet.store.latest import LatestLink
from pet.store.manifest import Manifest, parse_manifest
from pet.store.names import (
    BAD,
    DATA,
    ROLLED_BACK,
    SUPERSEDED,
    TEMPORARY,
    aside,
    data_of,
    is_bad,
    manifest_of,
    parse_data,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A manifest that was found, for the data file `file`: its content, or why that cannot be used."""

    file: str
    manifest: Manifest | None
    problem: str = ""

    @property
    def order(self) -> tuple[float, int, int, str]:
        """Sorts by age. A file whose iteration cannot be known counts as the newest: it must not be passed over."""
        name = parse_data(self.file)
        number = name.iteration if name else None
        if number is None:
            number = self.manifest.iteration if self.manifest else None
        generation = (self.manifest.attempt, self.manifest.restart) if self.manifest else (0, 0)
        return (float("inf") if number is None else number, *generation, self.file)


@dataclass(frozen=True)
class Selected:
    """The checkpoint to load: the path of its data and its size in bytes. Without a manifest it is not verified."""

    path: str
    bytes: int
    manifest: Manifest | None


class Folder:
    """One checkpoint folder. Methods take and return names, not paths."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.latest = LatestLink(path)

    def at(self, name: str) -> str:
        """The path of a name in this folder."""
        return os.path.join(self.path, name)

    def names(self) -> list[str]:
        """Everything in the folder, sorted."""
        return sorted(os.listdir(self.path))

    @property
    def deserted(self) -> bool:
        """Whether nothing is there that ever was a checkpoint, or not even the folder. False where none can see."""
        try:
            return not any(DATA in name for name in self.names())
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False

    def has(self, name: str) -> bool:
        """Whether there is such a name, a broken link included."""
        return os.path.lexists(self.at(name))

    def entries(self) -> list[Entry]:
        """The checkpoints that training may go on from, newest first, best models and wrecks left out."""
        files = [file for file in map(data_of, self.names()) if file]
        resumable = [file for file in files if (name := parse_data(file)) and name.resumable]
        found = [entry for entry in map(self.entry, resumable) if entry]
        return sorted(found, key=lambda entry: entry.order, reverse=True)

    def entry(self, file: str) -> Entry | None:
        """The checkpoint of this data file's name; None if there is no manifest. Raises NewerFormat."""
        name = manifest_of(file)
        try:
            return Entry(file, parse_manifest(read_bytes(self.at(name)), name))
        except FileNotFoundError:
            return None
        except Corrupt as error:
            return Entry(file, None, f"its manifest cannot be used: {error}")

    def verify(self, entry: Entry) -> Manifest:
        """Read the data as a whole and compare it with the manifest. Raises Corrupt."""
        manifest = entry.manifest
        if manifest is None:
            raise Corrupt(entry.problem)
        try:
            found = digest_of(self.at(manifest.file))
        except FileNotFoundError as error:
            raise Corrupt("its data is missing") from error
        if found.bytes != manifest.bytes:
            raise Corrupt(f"its data has {found.bytes} bytes instead of {manifest.bytes}")
        if found.crc32 != manifest.crc32:
            raise Corrupt("its data has another checksum")
        return manifest

    def selected(self, manifest: Manifest) -> Selected:
        """The checkpoint that was verified, as what is to be loaded."""
        return Selected(self.at(manifest.file), manifest.bytes, manifest)

    def bad_names(self, uid: str | None = None) -> list[str]:
        """Files that were found corrupt (by the owner `uid`, if given)."""
        return [name for name in self.names() if is_bad(name, uid)]

    def quarantine(self, file: str, uid: str) -> None:
        """Move a pair that does not verify to `.bad-<uid>-*`. Nothing may reach its data by another name."""
        self.latest.drop(file)
        self._move_pair(BAD, file, uid)

    def supersede(self, file: str, uid: str) -> None:
        """Move a pair, or data without a manifest, of another history to `.superseded-<uid>-*`."""
        self._move_pair(SUPERSEDED, file, uid)

    def roll_back(self, file: str, uid: str) -> None:
        """Move a pair that training has to go on from before to `.rolledback-<uid>-*`."""
        self.latest.drop(file)
        self._move_pair(ROLLED_BACK, file, uid)

    def move_aside(self, kind: str, names: Iterable[str], uid: str) -> None:
        """Rename each of `names` that exists, in this order, to `.<kind>-<uid>-<n>-<name>`."""
        taken = self.names()
        for name, hidden in aside(kind, uid, [name for name in names if name in taken], taken).items():
            os.rename(self.at(name), self.at(hidden))
            logger.warning("%s: %s is now %s", self.path, name, hidden)
        sync_directory(self.path)

    def delete(self, file: str) -> None:
        """Delete a pair; without its manifest the rest is no checkpoint, whenever this is cut off. A link that leads
        there, since newer ones found no room, would be all that is left of it, and nobody would know whose it is."""
        self.latest.drop(file)
        self.uncommit(file)
        remove(self.at(file))

    def uncommit(self, file: str) -> None:
        """Delete the manifest alone: the data is still there to look at, and is no checkpoint any more."""
        remove(self.at(manifest_of(file)))
        sync_directory(self.path)

    def sweep(self, mark: str = "") -> None:
        """Delete what writes that were cut off left behind, with a `mark` those of one process: another one's may be
        under way. What a process wrote that was fenced out in the middle can never get its name after that. Raises
        OSError."""
        for name in self.names():
            # A folder is another tool's, and in nobody's way.
            if name.startswith(TEMPORARY) and mark in name and not os.path.isdir(self.at(name)):
                remove(self.at(name))

    def _move_pair(self, kind: str, file: str, uid: str) -> None:
        # The manifest first: from then on the name is not committed, wherever this is cut off.
        self.move_aside(kind, [manifest_of(file), file], uid)
