"""The keys that every training script understands: Pet's nine sections.

`ours` in a comment: the original's default is not documented, or the key is an addition, so the choice is ours.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pet.config.schema import Declaration, Key

# Far above what anybody trains with: a slip of the finger is refused before a machine is exhausted by it.
PIXELS = 16_384  # along one side of an image
IMAGES = 2**20  # in a batch
PROCESSES = 1024
STEPS = 10**9
EPOCHS = 10**6

MISC: Declaration = {
    "VERSION": Key("0.7a", str, "edition of Pet that the file was written for; a note, never checked"),
    "CKPT": Key("", str, "folder of checkpoints and logs; empty: cfgs/x/y.yaml gives ckpts/x/y"),
    "DEVICE": Key("cuda", Literal["cuda", "cpu"], "where ranks compute; never changed in silence"),
    "CUDNN": Key(True, bool, "cudnn.benchmark, and the default of DATA.DROP_LAST; ours"),
    "DISPLAY_ITER": Key(20, int, "steps between two lines of the log", minimum=1),
    "SEED": Key(0, int, "of every generator, rank by rank; ours", minimum=0, maximum=2**32 - 1),
    "CONV1_RGB2BGR": Key(False, bool, "swap the input channels of pre-trained weights; ours"),
    "COMPILE": Key(False, bool, "torch.compile, before the first step; on a CPU it needs a C++ compiler; ours"),
    "CHANNELS_LAST": Key(False, bool, "channels-last memory format, in memory only; ours"),
    "DETERMINISTIC": Key(
        False, bool, "deterministic algorithms, no cudnn.benchmark, one thread unless OMP_NUM_THREADS is set; ours"
    ),
    "PROFILE": Key("", str, "'<first step>:<steps>' to profile on rank 0; ':<rank>,<rank>' behind it: on these; ours"),
}

ANALYSER: Declaration = {
    "ENABLED": Key(True, bool, "count parameters, FLOPs and activations before training; ours"),
}

EVAL: Declaration = {
    "ENABLED": Key(True, bool, "evaluate on TEST.DATASETS; ours"),
    "RECORD": Key([], Any, "free notes of past results; never checked"),
}

VIS: Declaration = {
    "ENABLED": Key(False, bool, "draw results; set by any of the switches below"),
    **{
        kind: {"ENABLED": Key(False, bool, f"draw {kind.lower()} results")}
        for kind in ("BOX", "CLASS", "KEYPOINT", "MASK", "PANOSEG", "PARSING", "SEMSEG")
    },
}

DATA: Declaration = {
    "DATASET_TYPE": Key("coco_dataset", str, "how a data set's files are read"),
    "PIXEL_MEAN": Key(
        (102.9801, 115.9465, 122.7717),
        tuple[float, ...],
        "subtracted from each channel, in FORMAT.IMAGE; ours: Caffe's ImageNet means",
    ),
    "PIXEL_STD": Key((1.0, 1.0, 1.0), tuple[float, ...], "divides each channel afterwards; ours"),
    "LOADER_THREADS": Key(
        4, int, "worker processes of each rank's loader; 0: in the rank itself; ours", minimum=0, maximum=PROCESSES
    ),
    "DROP_LAST": Key(None, bool | None, "drop an epoch's last, smaller batch; None: as MISC.CUDNN; ours"),
    "PIN_MEMORY": Key(True, bool, "page-locked batches, on CUDA only; ours"),
    "PREFETCH": Key(2, int, "batches that each worker loads ahead; ours", minimum=1, maximum=1024),
    "FORMAT": {
        "IMAGE": Key(
            "bgr255",
            Literal["bgr255", "rgb255", "bgr", "rgb"],
            "order and scale of the channels: 0 to 255, or 0 to 1; ours",
        ),
    },
}

RESIZE: Declaration = {
    "SCALES": Key((800,), tuple[int, ...], "shorter side in pixels, drawn from these; ours", minimum=1, maximum=PIXELS),
    "MAX_SIZE": Key(1333, int, "longest side in pixels; ours", minimum=1, maximum=PIXELS),
    "SCALES_SAMPLING": Key(
        "choice",
        Literal["choice", "range", "scale_factor"],
        "one of SCALES, anything between two of them, or a random factor; ours",
    ),
    "SCALE_FACTOR": Key((0.5, 2.0), tuple[float, float], "lowest and highest factor of scale_factor; ours", minimum=0),
}

COLOR_JITTER: Declaration = {
    name: Key(0.0, float, f"largest relative change of {name.lower()}; ours", minimum=0)
    for name in ("BRIGHTNESS", "CONTRAST", "SATURATION")
} | {"HUE": Key(0.0, float, "largest change of hue, as a share of the colour circle; ours", minimum=0, maximum=0.5)}

TRAIN: Declaration = {
    "WEIGHTS": Key("", str, "file of pre-trained weights; not read on resume"),
    "DATASETS": Key((), tuple[str, ...], "names in the data set catalogue"),
    "BATCH_SIZE": Key(
        16, int, "images of one batch over all ranks; must divide by the world size; ours", minimum=1, maximum=IMAGES
    ),
    "AUTO_RESUME": Key(True, bool, "go on from the newest verified checkpoint"),
    "METRICS_ON": Key(True, bool, "log losses and metrics; ours"),
    "TRANSFORMS": Key((), tuple[str, ...], "augmentation of training images, in this order"),
    "RESIZE": RESIZE,
    "RANDOM_CROP": {
        "CROP_SCALES": Key(
            ((640, 640),), tuple[tuple[int, int], ...], "(height, width) in pixels", minimum=1, maximum=PIXELS
        ),
        "BORDER": Key(0, int, "padding on each side before the crop, in pixels; ours", minimum=0, maximum=PIXELS),
    },
    "CENTER_CROP": {
        "CROP_SCALES": Key((224, 224), tuple[int, int], "(height, width) in pixels; ours", minimum=1, maximum=PIXELS)
    },
    "RANDOM_RESIZED_CROP": {
        "SIZE": Key((224, 224), tuple[int, int], "(height, width) afterwards; ours", minimum=1, maximum=PIXELS),
        "SCALE": Key((0.08, 1.0), tuple[float, float], "share of the image's area; ours", minimum=0, maximum=1),
        "RATIO": Key((0.75, 4 / 3), tuple[float, float], "width over height; ours", minimum=0),
    },
    "COLOR_JITTER": COLOR_JITTER,
    "AUTO_AUG": {
        "POLICY": Key("imagenet", Literal["imagenet", "cifar10", "svhn"], "AutoAugment's learnt policy; ours"),
    },
    "HOOKS": Key(
        [],
        list[dict[str, Any]],
        "the user's hooks: {type: 'module:Class' or a registered name, args, priority, name}; ours",
    ),
    "SAVE_AS_JSON": Key(True, bool, "append each log window to metrics.json; ours"),
    "USE_TENSORBOARD": Key(False, bool, "write for TensorBoard, whose package must be installed"),
}

TEST: Declaration = {
    "WEIGHTS": Key("", str, "file of weights to evaluate"),
    "DATASETS": Key((), tuple[str, ...], "names in the data set catalogue"),
    "IMS_PER_GPU": Key(1, int, "images that each rank evaluates at once; ours", minimum=1, maximum=IMAGES),
    "RESIZE": {
        "SCALE": Key(800, int, "shorter side in pixels; ours", minimum=1, maximum=PIXELS),
        "MAX_SIZE": Key(1333, int, "longest side in pixels; ours", minimum=1, maximum=PIXELS),
    },
    "CENTER_CROP": {
        "CROP_SCALES": Key((224, 224), tuple[int, int], "(height, width) in pixels; ours", minimum=1, maximum=PIXELS)
    },
    "PRECISE_BN": {
        "ENABLED": Key(False, bool, "measure batch-norm statistics instead of averaging them along the way"),
        "PERIOD": Key(0, int, "steps between two times; 0: only after the last step", minimum=0),
        "NUM_ITER": Key(200, int, "batches that the statistics are taken from", minimum=1),
    },
    "FREQUENCY_EPOCHS": Key(-1, int, "epochs between two evaluations; <= 0: only at the end"),
    "FREQUENCY_ITERS": Key(-1, int, "steps between two evaluations; <= 0: only at the end; ours"),
}

OPTIMIZER: Declaration = {
    "TYPE": Key("SGD", Literal["SGD", "ADAMW", "ADAM", "RMSPROP"], "ADAM gives every parameter one rate and decay"),
    "BASE_LR": Key(0.01, float, "learning rate before warm-up and policy; ours", minimum=0),
    "MOMENTUM": Key(0.9, float, "of SGD and RMSPROP", minimum=0),
    "NESTEROV": Key(False, bool, "Nesterov momentum of SGD; ours"),
    "WEIGHT_DECAY": Key(1e-4, float, "of everything that no rule below names", minimum=0),
    "WEIGHT_DECAY_NORM": Key(0.0, float, "of normalisation layers", minimum=0),
    "WEIGHT_DECAY_BIAS": Key(0.0, float, "of parameters named bias", minimum=0),
    "WEIGHT_DECAY_EMBED": Key(0.0, float, "of embeddings", minimum=0),
    "BIAS_LR_FACTOR": Key(2.0, float, "times BASE_LR for parameters named bias", minimum=0),
    "BACKBONE_LR_FACTOR": Key(1.0, float, "times BASE_LR under backbone.", minimum=0),
    "CLIP_GRADIENTS": {
        "ENABLED": Key(False, bool, "clip gradients before each step"),
        "CLIP_TYPE": Key(
            "value", Literal["value", "norm", "full_model"], "each value, each parameter's norm, or one norm over all"
        ),
        "CLIP_VALUE": Key(1.0, float, "largest value or norm", minimum=0),
        "NORM_TYPE": Key(2.0, float, "p of the norm", minimum=0, maximum=math.inf),
    },
}

SCHEDULER: Declaration = {
    "TOTAL_EPOCHS": Key(None, int | None, "length in epochs; None or <= 0: TOTAL_ITERS counts; ours", maximum=EPOCHS),
    "TOTAL_ITERS": Key(90000, int, "length in steps", minimum=1, maximum=STEPS),
    "POLICY": Key("STEP", Literal["STEP", "COSINE", "POLY", "STEP_COSINE"], "the rate's curve; ours"),
    "STEPS": Key(
        (60000, 80000),
        tuple[int, ...],
        "milestones of STEP, in steps, or in epochs with TOTAL_EPOCHS; ours",
        minimum=1,
        maximum=STEPS,
    ),
    "GAMMA": Key(0.1, float, "factor at each milestone", minimum=0),
    "LR_POW": Key(0.9, float, "exponent of POLY", minimum=0),
    "WARM_UP_EPOCHS": Key(
        None, float | None, "length of the warm-up in epochs; None: WARM_UP_ITERS; ours", minimum=0, maximum=EPOCHS
    ),
    "WARM_UP_ITERS": Key(500, int, "length of the warm-up in steps; 0: none", minimum=0, maximum=STEPS),
    "WARM_UP_FACTOR": Key(0.1, float, "first factor of the warm-up", minimum=0),
    "WARM_UP_METHOD": Key("LINEAR", Literal["LINEAR", "CONSTANT"], "how the factor goes to 1"),
    "LOG_LR_CHANGE_THRESHOLD": Key(1.1, float, "log a change of the rate by more than this factor", minimum=1),
}

SOLVER: Declaration = {
    "START_ITER": Key(1, int, "first step of this run; written at run time", minimum=1),
    "SNAPSHOT_ITER": Key(10000, int, "steps between two checkpoints; <= 0: only the last step's"),
    "SNAPSHOT_EPOCHS": Key(None, int | None, "epochs between two checkpoints, instead of SNAPSHOT_ITER"),
    "SNAPSHOT_KEEP": Key(3, int, "newest checkpoints that are kept; 0: all (Pet kept all); ours", minimum=0),
    "SNAPSHOT_KEEP_EACH": Key(
        0, int, "of older checkpoints, keep that of each so many-th snapshot besides; 0: none; ours", minimum=0
    ),
    "SNAPSHOT_FAILURES": Key(
        3, int, "saves in a row that the disk may refuse before training ends, exit code 79; 0: any; ours", minimum=0
    ),
    "SNAPSHOT_BACKGROUND": Key(
        "auto", bool | Literal["auto"], "write checkpoints in a thread beside training; auto: on a GPU; ours"
    ),
    "OPTIMIZER": OPTIMIZER,
    "SCHEDULER": SCHEDULER,
    "AMP": {
        "ENABLED": Key(False, bool, "mixed precision: the model computes in DTYPE, its weights stay float32; ours"),
        "DTYPE": Key("bfloat16", Literal["bfloat16", "float16"], "the lower precision; float16 scales the loss; ours"),
    },
    "ACCUMULATE_STEPS": Key(
        1, int, "batches whose gradients one step adds up; an epoch's last step takes the rest; ours", minimum=1
    ),
    "EMA": {
        "ENABLED": Key(False, bool, "keep a moving average of the weights, and evaluate that; ours"),
        "DECAY": Key(0.9998, float, "part of the average that each step keeps; ours", minimum=0, maximum=1),
    },
    "NAN_GUARD": Key(True, bool, "stop where a loss is not finite (weights that are not are never saved); ours"),
    "NAN_GUARD_SKIP": Key(False, bool, "after going back, leave out the samples of the steps that went bad; ours"),
    "DDP": {
        "FIND_UNUSED": Key("auto", bool | Literal["auto"], "parameters without gradients; auto: looked for once; ours"),
        "STATIC_GRAPH": Key(False, bool, "promise that the graph never changes; ours"),
        "BROADCAST_BUFFERS": Key(False, bool, "send rank 0's buffers at each forward (Pet did); ours"),
    },
}

MODEL: Declaration = {
    "BACKBONE": Key("", str, "a name of the backbone registry"),
    "AUXDET": {
        "STEP1_ENABLED": Key(False, bool, "zero the auxiliary head's gradients during its warm-up; ours"),
        "DISTANCE_LOSS_WARMUP_ITERS": Key(0, int, "steps of that warm-up; ours", minimum=0),
    },
}

KEYS: Declaration = {
    "MISC": MISC,
    "ANALYSER": ANALYSER,
    "EVAL": EVAL,
    "VIS": VIS,
    "DATA": DATA,
    "TRAIN": TRAIN,
    "TEST": TEST,
    "SOLVER": SOLVER,
    "MODEL": MODEL,
}
