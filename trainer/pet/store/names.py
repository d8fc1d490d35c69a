"""The names in a checkpoint folder, and what each of them says.

model_iter1000.pth, model_epoch3.pth   checkpoints; with model_<…>.manifest.json beside them they are committed
model_epoch3-89.12.pth                 the best model so far, never resumed from
model_error17.pth                      weights at the time of the last error, never resumed from
model_latest.pth                       a hard link to the newest checkpoint
OWNER, .lock, .tmp-*                   the owner's record, the launcher's lock, files being written
ROLLBACK                               the step that was not finite, which training has to go on from before
.bad-<uid>-<n>-*, .superseded-<uid>-<n>-*, .rolledback-<uid>-<n>-*
                                       found corrupt; of another history; left behind. Never deleted by us
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

OWNER = "OWNER"
LOCK = ".lock"
ROLLBACK = "ROLLBACK"
DATA = "model_"  # in the name of every checkpoint, of one that was moved aside as well
LATEST = "model_latest.pth"
TEMPORARY = ".tmp-"
BAD = "bad"
SUPERSEDED = "superseded"
ROLLED_BACK = "rolledback"
ERROR = "error"
LEGACY = "legacy"  # stands for the uid of files from before there were owners

_DATA = re.compile(r"model_(?P<infix>[a-z]+)(?P<number>0|[1-9]\d*)(?:-(?P<accuracy>\d+\.\d\d))?\.pth")
_MANIFEST_SUFFIX = ".manifest.json"


@dataclass(frozen=True)
class DataName:
    """A data file's name in its parts; `accuracy` only of a best model."""

    infix: str
    number: int
    accuracy: str | None

    @property
    def resumable(self) -> bool:
        """Whether training goes on from such a file."""
        return self.accuracy is None and self.infix != ERROR

    @property
    def iteration(self) -> int | None:
        """The iteration that the name promises, None where it tells an epoch."""
        return self.number if self.infix == "iter" and self.accuracy is None else None


def parse_data(file: str) -> DataName | None:
    """The parts of a data file's name, None if it is no such name."""
    match = _DATA.fullmatch(file)
    return DataName(match["infix"], int(match["number"]), match["accuracy"]) if match else None


def is_best(file: str) -> bool:
    """Whether this is a best model's name."""
    name = parse_data(file)
    return name is not None and name.accuracy is not None


def is_error(file: str) -> bool:
    """Whether this is the name of weights at the time of an error."""
    name = parse_data(file)
    return name is not None and name.infix == ERROR


def manifest_of(file: str) -> str:
    """The name of a data file's manifest."""
    return file.removesuffix(".pth") + _MANIFEST_SUFFIX


def data_of(name: str) -> str | None:
    """The name of the data file that a manifest stands beside, None if `name` is no manifest's name."""
    file = name.removesuffix(_MANIFEST_SUFFIX) + ".pth"
    return file if name.endswith(_MANIFEST_SUFFIX) and parse_data(file) else None


def aside(kind: str, uid: str, names: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Where to move `names` to: one free number for all of them, so that pairs stay recognisable."""
    names, number = list(names), 0
    while any(f".{kind}-{uid}-{number}-{name}" in taken for name in names):
        number += 1
    return {name: f".{kind}-{uid}-{number}-{name}" for name in names}


def is_bad(name: str, uid: str | None) -> bool:
    """Whether `name` is of a checkpoint that was found corrupt (by the owner `uid`, if given)."""
    return re.match(rf"\.{BAD}-{'.+' if uid is None else re.escape(uid)}-\d+-model_", name) is not None
