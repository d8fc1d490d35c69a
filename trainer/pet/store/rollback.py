"""Going back behind a step whose numbers were not finite: the record that orders it, and the next start's obedience.

The record is a file of the checkpoint folder, so that it reaches a start in another pod. It stays when it is obeyed:
later starts must leave out the same samples.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pet.store.errors import Corrupt
from pet.store.files import read_bytes
from pet.store.folder import Folder
from pet.store.names import ROLLBACK, data_of
from pet.store.sealed import seal, take, unseal

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rollback:
    """Training has to go on from before step `before`; `pending` until a start has done so.

    `left_out` are the places of steps in the order of samples, from 1, that may have done it, of all rollbacks so far.
    """

    before: int
    left_out: tuple[int, ...]
    pending: bool


def encode_rollback(rollback: Rollback) -> bytes:
    """The record's content."""
    return seal(asdict(rollback))


def parse_rollback(data: bytes) -> Rollback:
    """Read the record's content. Raises Corrupt if it does not prove itself."""
    values = unseal(data)
    return Rollback(take(values, "before", int), tuple(take(values, "left_out", list)), take(values, "pending", bool))


def read_rollback(folder: Folder) -> Rollback | None:
    """The folder's record, None if there is none.

    One that cannot be read is passed over: whatever it said, no checkpoint holds numbers that are not finite.
    """
    try:
        return parse_rollback(read_bytes(folder.at(ROLLBACK)))
    except FileNotFoundError:
        return None
    except Corrupt as problem:
        logger.warning("%s cannot be used: %s", folder.at(ROLLBACK), problem)
        return None


def ordered(folder: Folder, before: int, places: Iterable[int]) -> Rollback:
    """The record that orders a rollback, on top of those before it."""
    former = read_rollback(folder)
    return Rollback(before, tuple(sorted({*places, *(former.left_out if former else ())})), pending=True)


def move_later_ones(folder: Folder, before: int, uid: str) -> None:
    """Hide the checkpoints and best models of step `before` and later ones as `.rolledback-<uid>-*`."""
    for file in filter(None, map(data_of, folder.names())):
        entry = folder.entry(file)
        if entry is not None and entry.manifest is not None and entry.manifest.iteration >= before:
            folder.roll_back(file, uid)
