"""Which key a user most likely meant by one that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

# What no likeness of letters tells: names of the editions before 0.6 and of the toolboxes that Pet's users come from.
OTHER_NAMES = {
    "CONV_BODY": "MODEL.BACKBONE",
    "IMS_PER_BATCH": "TRAIN.BATCH_SIZE",
    "LR": "SOLVER.OPTIMIZER.BASE_LR",
    "MAX_EPOCH": "SOLVER.SCHEDULER.TOTAL_EPOCHS",
    "MAX_ITER": "SOLVER.SCHEDULER.TOTAL_ITERS",
    "NUM_WORKERS": "DATA.LOADER_THREADS",
}
_LONGEST = 100  # comparing takes the longer the longer a name is, and no key is as long
_LEAST_ALIKE = 0.7  # of the last part, to count at all
_LEAST = 0.75  # with what the same way adds
_SAME_WAY = 0.28  # so little that DATA.DATASETS is TRAIN.DATASETS and not DATA.DATASET_TYPE


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The most similar of the declared `names`, the first of several; None if there is nothing alike.

    What counts is first the last part, then how much of the way there is the same.
    """
    if len(name) > _LONGEST:
        return None
    *path, last = name.upper().split(".")
    declared = list(names)
    if (renamed := OTHER_NAMES.get(last)) in declared:
        return renamed
    scores = {other: _likeness(path, last, other) for other in declared}
    best = max(declared, key=lambda other: scores[other])
    return best if scores[best] >= _LEAST else None


def _likeness(path: list[str], last: str, other: str) -> float:
    *other_path, other_last = other.split(".")
    whole = _ratio("_".join([*path, last]), other.replace(".", "_"))
    if whole > 0.9:  # TRAIN.MIXUP_ALPHA for TRAIN.MIXUP.ALPHA
        return whole + _SAME_WAY
    alike = _alike(last, other_last)
    if alike < _LEAST_ALIKE:
        return 0
    shared = sum(any(_ratio(part, other_part) > 0.7 for other_part in other_path) for part in path)
    return alike + _SAME_WAY * shared / max(len(path), len(other_path), 1)


def _alike(one: str, other: str) -> float:
    """The share of equal letters; much where all words of one are in the other: EPOCHS for TOTAL_EPOCHS."""
    ratio = _ratio(one, other)
    words, other_words = set(one.split("_")), set(other.split("_"))
    return max(ratio, 0.8 + ratio / 10) if words <= other_words or other_words <= words else ratio


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()
