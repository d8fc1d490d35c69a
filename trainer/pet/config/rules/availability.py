"""Keys that wait for their feature."""

from __future__ import annotations

from collections.abc import Iterator

from pet.config.errors import Problem
from pet.config.known import Known

# The one list of keys that exist and do nothing yet: another value than the default is refused, never ignored.
NOT_AVAILABLE_YET = {
    "VIS.ENABLED": "drawing of results",
    "VIS.BOX.ENABLED": "drawing of boxes",
    "VIS.CLASS.ENABLED": "drawing of classes",
    "VIS.KEYPOINT.ENABLED": "drawing of keypoints",
    "VIS.MASK.ENABLED": "drawing of masks",
    "VIS.PANOSEG.ENABLED": "drawing of panoptic segments",
    "VIS.PARSING.ENABLED": "drawing of human parts",
    "VIS.SEMSEG.ENABLED": "drawing of semantic segments",
    "TRAIN.RESIZE.SCALE_FACTOR": "resizing by a random factor",
    "TEST.WEIGHTS": "evaluation of given weights without training",
    "MODEL.AUXDET.STEP1_ENABLED": "the warm-up of an auxiliary head",
    "MODEL.AUXDET.DISTANCE_LOSS_WARMUP_ITERS": "the warm-up of an auxiliary head",
}


def not_available(cfg: Known) -> Iterator[Problem]:
    """Nobody waits for a feature that is not there."""
    # Not key by key through `Known`: a broken one has its default, and the others are to be judged all the same.
    values = dict(cfg.leaves())
    for name, feature in NOT_AVAILABLE_YET.items():
        default = cfg.schema.keys[name].default
        if values[name] != default:
            yield Problem(name, f"{feature} is not available yet in this release; leave it at {default!r}")
