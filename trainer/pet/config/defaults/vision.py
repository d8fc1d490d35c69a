"""What detection and segmentation need on top of the common keys.

Names are those that Pet documents; a default with `ours` in its comment is our choice.
"""

from __future__ import annotations

from typing import Literal

from pet.config.defaults.common import PIXELS
from pet.config.schema import Declaration, Key

# Upstream's names of what a head measures itself by.
METRICS: Declaration = {
    "RPN": Key(("APb",), tuple[str, ...], "of proposals"),
    "BOX": Key(("APb",), tuple[str, ...], "of boxes"),
    "MASK": Key(("APs",), tuple[str, ...], "of instance masks; ours"),
    "KEYPOINT": Key(("APk",), tuple[str, ...], "of keypoints; ours"),
    "SEMSEG": Key(("mIoU",), tuple[str, ...], "of semantic segmentation; ours"),
}

DATA: Declaration = {
    "DATASET_TYPE": Key(
        "coco_dataset",
        Literal["coco_dataset", "coco_instance_dataset", "image_folder_dataset", "cifar_dataset"],
        "how a data set's files are read",
    ),
    "FORMAT": {
        "MASK": Key("mask", str, "of instance masks; ours"),
        "SEMSEG": Key("mask", str, "of semantic labels in memory; ours"),
        "SEMSEG_LABEL": Key("mask", str, "of semantic labels on disk; ours"),
    },
    "SAMPLER": {
        "TYPE": Key(
            "DistributedSampler",
            Literal["DistributedSampler", "RepeatFactorTrainingSampler"],
            "every image once per epoch, or images of rare classes more often",
        ),
        "RFTSAMPLER": {
            "REPEAT_THRESHOLD": Key(
                0.001, float, "share of images below which a class is rare; ours", minimum=0, maximum=1
            )
        },
        "ASPECT_RATIO_GROUPING": Key(
            [1.0], list[float], "width over height where groups of images end; []: off; ours", minimum=0
        ),
    },
}

TRAIN: Declaration = {
    "CROP_AND_EXPAND": {
        "RATIO": Key((1.0, 4.0), tuple[float, float], "smallest and largest canvas; ours", minimum=1, maximum=100)
    },
    "EFFICIENT_DET_RESIZE_CROP": {
        "SIZE": Key((640, 640), tuple[int, int], "(height, width) afterwards; ours", minimum=1, maximum=PIXELS),
        "SCALE": Key((0.1, 2.0), tuple[float, float], "lowest and highest factor; ours", minimum=0, maximum=100),
    },
    "SIZE_DIVISIBILITY": Key(
        0, int, "pad batches to a multiple of this; 0: no padding; ours", minimum=0, maximum=PIXELS
    ),
    "RANDOM_CROP": {
        "IOU_THS": Key(
            (0.9, 0.7, 0.5, 0.3, 0.1),
            tuple[float, ...],
            "overlap a box must keep, one drawn per crop; ours",
            minimum=0,
            maximum=1,
        ),
        "CAT_MAX_THS": Key(1.0, float, "largest share of one class in a crop; ours", minimum=0, maximum=1),
        "IGNORE_LABEL": Key(255, int, "semantic label that counts for nothing; ours"),
    },
}


def _off(**comments: str) -> dict[str, Key]:
    """Switches that are off until a file, or `infer_cfg`, sets them."""
    return {name: Key(False, bool, comment) for name, comment in comments.items()}


MODEL: Declaration = {
    "NECK": Key("", str, "a name of the neck registry"),
    **_off(
        FREEZE_BACKBONE="keep the backbone's weights; ours",
        FREEZE_NECK="keep the neck's weights; ours",
        INSTANCE_ON="models of one instance per image",
    ),
    "GLOBAL_HEAD": {
        **_off(CLS_ON="inferred", DET_ON="inferred", SEMSEG_ON="inferred", INSSEG_ON="inferred", PANOSEG_ON="inferred"),
        "CLS": _off(ONEHOT_ON="classification"),
        "DET": _off(RPN_ON="region proposals", FCOS_ON="FCOS", AUXDET_ON="auxiliary detection"),
        "SEMSEG": _off(PSPNET_ON="PSPNet"),
    },
    "ROI_HEAD": _off(
        FASTER_ON="Faster R-CNN",
        CASCADE_ON="Cascade R-CNN",
        GRID_ON="Grid R-CNN",
        MASK_ON="masks",
        KEYPOINT_ON="keypoints",
        PARSING_ON="human parsing",
    ),
    **_off(
        HAS_BOX="inferred",
        HAS_MASK="inferred",
        HAS_SEMSEG="inferred",
        HAS_PANOSEG="inferred",
        HAS_KEYPOINTS="inferred",
        HAS_PARSING="inferred",
        HAS_UV="inferred",
        HAS_CLS="inferred",
    ),
}

KEYS: Declaration = {
    "EVAL": {"METRICS": METRICS},
    "DATA": DATA,
    "TRAIN": TRAIN,
    "TEST": {"SIZE_DIVISIBILITY": Key(0, int, "as in TRAIN; ours", minimum=0, maximum=PIXELS)},
    "MODEL": MODEL,
}
