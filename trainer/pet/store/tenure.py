"""One process's time as a folder's owner: everything that writes checkpoints goes through here.

The order of a write: fence, data and manifest under temporary names and flushed, fence, data renamed, folder flushed,
manifest renamed (the commit), folder flushed. A committed name is never written again.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from pet.store import retention
from pet.store.errors import Corrupt, Fenced
from pet.store.files import ChecksumWriter, Digest, discard, read_bytes, remove, sync_directory, write_durably
from pet.store.folder import Entry, Folder
from pet.store.manifest import Manifest, NewerFormat, encode_manifest
from pet.store.names import OWNER, ROLLBACK, TEMPORARY, is_best, is_error
from pet.store.owner import Owner, encode_owner, is_own, parse_owner
from pet.store.rollback import encode_rollback, move_later_ones, ordered, read_rollback
from pet.store.space import START_FACTOR, WRITE_FACTOR, require_room

logger = logging.getLogger(__name__)

Write = Callable[[ChecksumWriter], object]


class Tenure:
    """Made by `pet.store.opening.open_folder`.

    `resumed` is the checkpoint that this run loaded and verified, None if it began anew; `left_out` are the places in
    the order of samples that runs before this one found not finite.
    """

    def __init__(self, folder: Folder, owner: Owner) -> None:
        self.folder = folder
        self.owner = owner
        self.resumed: Manifest | None = None
        self.left_out: tuple[int, ...] = ()
        self._written: set[Manifest] = set()
        self._mark = f"-{owner.attempt}-{owner.restart}-{os.getpid()}"  # in the names of files being written

    def claim(self, *, first: bool) -> None:
        """Write the owner record. `first` asks that there be none yet; then FileExistsError tells of a rival."""
        record = encode_owner(self.owner)
        if first:
            write_durably(self.folder.at(OWNER), lambda file: file.write(record))
            sync_directory(self.folder.path)
        else:
            self._replace(OWNER, record)

    def order_rollback(self, before: int, places: Iterable[int]) -> None:
        """Have the next start go on from before step `before`; `places` in the order of samples may have done it.

        Raises Fenced and OSError.
        """
        self.fence()
        self._replace(ROLLBACK, encode_rollback(ordered(self.folder, before, places)))

    def obey_rollback(self) -> None:
        """Hide what the run before had to be taken back from, if it had. Cut off anywhere, the next start does it."""
        rollback = read_rollback(self.folder)
        if rollback is None:
            return
        if rollback.pending:
            move_later_ones(self.folder, rollback.before, self.owner.uid)
            self._replace(ROLLBACK, encode_rollback(replace(rollback, pending=False)))
        self.left_out = rollback.left_out

    def resume_from(self, manifest: Manifest) -> None:
        """This run goes on from a checkpoint that was verified."""
        self.resumed = manifest
        with _reported("model_latest.pth was not set"):
            self.folder.latest.point_at(manifest.file)

    def fence(self) -> None:
        """Raise Fenced unless the folder is still this process's, and OSError if the disk does not tell."""
        try:
            found = parse_owner(self._owner_record())
        except (Corrupt, FileNotFoundError) as error:
            raise Fenced(
                f"the owner record of {self.folder.path} is gone or unreadable ({error}): nothing is written "
                "to a folder that may be another's"
            ) from error
        if not is_own(found, self.owner):
            raise Fenced(f"{self.folder.path} is used by {found} now, this was {self.owner}")
        if found.generation < self.owner.generation:
            # A process that we fenced out was between its look at the record and its write.
            self.claim(first=False)

    def commit(self, draft: Manifest, write: Write, expected: int = 0) -> Manifest:
        """Write a checkpoint and return its manifest; `draft` lacks only size and checksum, of which the size is
        `expected`, in bytes.

        If this run's own history holds the checkpoint already, nothing is written. Raises Fenced, and OSError or what
        `write` raises; then no new name is committed and the temporary files are gone.
        """
        self.fence()
        draft = self._named(draft)
        present = self.folder.entry(draft.file)
        if (done := self._already_saved(draft, present)) is not None:
            return done
        self.folder.sweep(self._mark)  # what an earlier write could not delete when it failed takes room
        require_room(self.folder.path, WRITE_FACTOR * expected)
        data, seal = self._temporary(f"{draft.iteration}", ".pth"), self._temporary(f"{draft.iteration}", ".json")
        try:
            digest = self._write_new(data, write)
            manifest = replace(draft, bytes=digest.bytes, crc32=digest.crc32)
            self._write_new(seal, lambda file: file.write(encode_manifest(manifest)))
            self.fence()
            self._free_name(draft.file)
            self._place(data, seal, manifest)
        except BaseException:
            discard(data)
            discard(seal)
            raise
        sync_directory(self.folder.path)
        self._written.add(manifest)
        return manifest

    def keep_error(self, file: str, write: Write) -> str:
        """Write the weights at an error: durable and whole, but without a manifest. Those of errors before are deleted,
        for a run that fails now and then would fill its volume with them. Returns the path."""
        self.fence()
        temporary = self._temporary(file)
        self._write_new(temporary, write)
        try:
            self.fence()
            os.rename(temporary, self.folder.at(file))
        except BaseException:
            discard(temporary)
            raise
        sync_directory(self.folder.path)
        with _reported("the weights at an earlier error were not removed"):
            for other in filter(is_error, self.folder.names()):
                if other != file:
                    remove(self.folder.at(other))
        return self.folder.at(file)

    def make_room(self) -> bool:
        """Delete all of this job's checkpoints but the newest that verifies and the best. Whether there were any more.

        Raises Fenced and OSError.
        """
        self.fence()
        return retention.make_room(self.folder, self.owner.uid)

    def require_room(self, size: int, *, deletable: bool) -> None:
        """Raise OSError (ENOSPC) unless a run whose checkpoints have `size` bytes can go on; `deletable` says that
        older ones may go for it."""
        spare = retention.spare_bytes(self.folder, self.owner.uid) if deletable else 0
        factor = START_FACTOR if self.resumed is None else WRITE_FACTOR  # one of the two is there
        require_room(self.folder.path, factor * size, spare)

    def publish(self, committed: Manifest, *, keep: int, every: int = 0, link: bool) -> None:
        """What follows a commit: the link, and retention, which spares what was just committed and what the last load
        verified: that one is known to be good. Their errors are reported; the commit stands."""
        if link:
            with _reported("model_latest.pth was not set"):
                self.folder.latest.point_at(committed.file)
        with _reported("older checkpoints were not removed"):
            retention.prune(self.folder, self.owner.uid, keep, (committed, self.resumed), every)

    def publish_best(self, committed: Manifest) -> None:
        """What follows the commit of a best model: the former one goes. An error is reported; the commit stands."""
        with _reported("the former best model was not removed"):
            retention.prune_best(self.folder, self.owner.uid, committed.file)

    def _named(self, draft: Manifest) -> Manifest:
        """The same by its iteration, where its epoch's name is that of another one, as it is once an epoch has another
        length: that may be the newest there is, and until the new one is committed no name would lead to it."""
        present = self.folder.entry(draft.file)
        if present is None or present.manifest is None or is_best(draft.file):
            return draft
        if present.manifest.iteration == draft.iteration:
            return draft
        named = replace(draft, file=f"model_iter{draft.iteration}.pth")
        logger.warning("%s is of iteration %d already: iteration %d is saved as %s", draft.file,
                       present.manifest.iteration, draft.iteration, named.file)  # fmt: skip
        return named

    def _owner_record(self) -> bytes:
        """What OWNER holds. That a disk cannot read it says nothing of whose the folder is: it is an error like any
        other of this disk, which training outlives. Raises OSError."""
        path = self.folder.at(OWNER)
        try:
            return read_bytes(path)
        except Corrupt as error:
            raise OSError(errno.EIO, f"whose the folder is, is not known: {error}", path) from error

    def _already_saved(self, draft: Manifest, present: Entry | None) -> Manifest | None:
        """The committed checkpoint of this name, if it holds what this run would write."""
        manifest = present.manifest if present else None
        if present is None or manifest is None or manifest.iteration != draft.iteration:
            return None
        if not self._descends_from(manifest):
            return None
        try:
            return self.folder.verify(present)
        except Corrupt:
            return None

    def _descends_from(self, manifest: Manifest) -> bool:
        """Whether this run would come to the same state: it wrote or loaded that checkpoint, or it went on from an
        earlier one of the same uid."""
        if manifest in self._written or manifest == self.resumed:
            return True
        resumed = self.resumed
        return (
            resumed is not None
            and resumed.owner_uid == manifest.owner_uid == self.owner.uid
            and resumed.iteration <= manifest.iteration
        )

    def _free_name(self, file: str) -> None:
        """Move what has this name out of the way, just before the name is needed: a pair of another history, a pair
        that does not verify, or data that was never committed.

        A best model of this uid would be deleted after the commit, whatever its name: it only ceases to be one, and its
        data stays until the new ones take the name.
        """
        entry = self.folder.entry(file)
        if entry is None:
            if self.folder.has(file):
                self.folder.supersede(file, self.owner.uid)
            return
        if is_best(file) and retention.is_of(entry, self.owner.uid):
            self.folder.uncommit(file)
            return
        try:
            self.folder.supersede(file, self.folder.verify(entry).owner_uid)
        except Corrupt as problem:
            logger.warning("%s does not verify: %s", file, problem)
            self.folder.quarantine(file, self.owner.uid)

    def _place(self, data: str, seal: str, manifest: Manifest) -> None:
        """Give both files their names, the data first. Where the manifest does not get its own, the data would take
        room for ever; but a network volume may refuse what it has done, and the name may be a successor's by now."""
        os.rename(data, self.folder.at(manifest.file))
        try:
            sync_directory(self.folder.path)
            os.rename(seal, self.folder.at(manifest.name))
        except BaseException:
            with suppress(Fenced, OSError):
                self.fence()
                if not self.folder.has(manifest.name):
                    discard(self.folder.at(manifest.file))
            raise

    def _temporary(self, what: str, suffix: str = "") -> str:
        return self.folder.at(f"{TEMPORARY}{what}{self._mark}{suffix}")

    def _write_new(self, path: str, write: Write) -> Digest:
        # One of this name can only be left from an earlier write of this process whose removal failed.
        remove(path)
        return write_durably(path, write)

    def _replace(self, name: str, record: bytes) -> None:
        """Write a small file in the place of the one that is there."""
        temporary = self._temporary(name)
        self._write_new(temporary, lambda file: file.write(record))
        os.rename(temporary, self.folder.at(name))
        sync_directory(self.folder.path)


@contextmanager
def _reported(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, NewerFormat) as error:
        logger.error("%s: %s", what, error)
