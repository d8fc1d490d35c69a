"""The declared keys themselves: Pet's documented ones are there, and every default obeys its own declaration."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pet.config import ConfigError, get_base_cfg
from pet.config.defaults import SCRIPTS, schema
from pet.config.merge import checked
from pet.config.rules import NOT_AVAILABLE_YET

# The keys that Pet's users know, and those that we add, with the defaults that are documented for them.
DOCUMENTED = {
    "MISC.VERSION": "0.7a",
    "MISC.CKPT": "",
    "MISC.DEVICE": "cuda",
    "MISC.DISPLAY_ITER": 20,
    "MISC.COMPILE": False,
    "MISC.CHANNELS_LAST": False,
    "MISC.DETERMINISTIC": False,
    "MISC.PROFILE": "",
    "EVAL.METRICS.RPN": ("APb",),
    "EVAL.METRICS.BOX": ("APb",),
    "DATA.DATASET_TYPE": "coco_dataset",
    "DATA.SAMPLER.TYPE": "DistributedSampler",
    "DATA.DROP_LAST": None,
    "DATA.PIN_MEMORY": True,
    "DATA.PREFETCH": 2,
    "TRAIN.WEIGHTS": "",
    "TRAIN.AUTO_RESUME": True,
    "TRAIN.RANDOM_CROP.CROP_SCALES": ((640, 640),),
    "TRAIN.USE_TENSORBOARD": False,
    "TRAIN.HOOKS": [],
    "TEST.WEIGHTS": "",
    "TEST.PRECISE_BN.ENABLED": False,
    "TEST.PRECISE_BN.PERIOD": 0,
    "TEST.PRECISE_BN.NUM_ITER": 200,
    "TEST.FREQUENCY_EPOCHS": -1,
    "TEST.FREQUENCY_ITERS": -1,
    "SOLVER.SNAPSHOT_ITER": 10000,
    "SOLVER.SNAPSHOT_EPOCHS": None,
    "SOLVER.SNAPSHOT_BACKGROUND": "auto",
    "SOLVER.SNAPSHOT_FAILURES": 3,
    "SOLVER.SNAPSHOT_KEEP": 3,
    "SOLVER.OPTIMIZER.TYPE": "SGD",
    "SOLVER.OPTIMIZER.MOMENTUM": 0.9,
    "SOLVER.OPTIMIZER.NESTEROV": False,
    "SOLVER.OPTIMIZER.WEIGHT_DECAY": 1e-4,
    "SOLVER.OPTIMIZER.WEIGHT_DECAY_NORM": 0.0,
    "SOLVER.OPTIMIZER.WEIGHT_DECAY_BIAS": 0.0,
    "SOLVER.OPTIMIZER.WEIGHT_DECAY_EMBED": 0.0,
    "SOLVER.OPTIMIZER.BIAS_LR_FACTOR": 2.0,
    "SOLVER.OPTIMIZER.BACKBONE_LR_FACTOR": 1.0,
    "SOLVER.OPTIMIZER.CLIP_GRADIENTS.ENABLED": False,
    "SOLVER.OPTIMIZER.CLIP_GRADIENTS.CLIP_TYPE": "value",
    "SOLVER.OPTIMIZER.CLIP_GRADIENTS.CLIP_VALUE": 1.0,
    "SOLVER.OPTIMIZER.CLIP_GRADIENTS.NORM_TYPE": 2.0,
    "SOLVER.SCHEDULER.TOTAL_EPOCHS": None,
    "SOLVER.SCHEDULER.TOTAL_ITERS": 90000,
    "SOLVER.SCHEDULER.POLICY": "STEP",
    "SOLVER.SCHEDULER.GAMMA": 0.1,
    "SOLVER.SCHEDULER.LR_POW": 0.9,
    "SOLVER.SCHEDULER.WARM_UP_EPOCHS": None,
    "SOLVER.SCHEDULER.WARM_UP_ITERS": 500,
    "SOLVER.SCHEDULER.WARM_UP_FACTOR": 0.1,
    "SOLVER.SCHEDULER.WARM_UP_METHOD": "LINEAR",
    "SOLVER.SCHEDULER.LOG_LR_CHANGE_THRESHOLD": 1.1,
    "SOLVER.AMP.ENABLED": False,
    "SOLVER.AMP.DTYPE": "bfloat16",
    "SOLVER.ACCUMULATE_STEPS": 1,
    "SOLVER.EMA.ENABLED": False,
    "SOLVER.EMA.DECAY": 0.9998,
    "SOLVER.NAN_GUARD": True,
    "SOLVER.NAN_GUARD_SKIP": False,
    "SOLVER.DDP.FIND_UNUSED": "auto",
    "SOLVER.DDP.STATIC_GRAPH": False,
    "SOLVER.DDP.BROADCAST_BUFFERS": False,
    "MODEL.NECK": "",
    "MODEL.AUXDET.STEP1_ENABLED": False,
}
NAMED_WITHOUT_DEFAULT = [
    "MISC.CUDNN", "MISC.SEED", "MISC.CONV1_RGB2BGR", "ANALYSER.ENABLED", "EVAL.ENABLED", "EVAL.RECORD", "VIS.ENABLED",
    "VIS.BOX.ENABLED", "VIS.SEMSEG.ENABLED", "DATA.PIXEL_MEAN", "DATA.PIXEL_STD", "DATA.LOADER_THREADS",
    "DATA.FORMAT.IMAGE", "DATA.FORMAT.MASK", "DATA.FORMAT.SEMSEG", "DATA.FORMAT.SEMSEG_LABEL",
    "DATA.SAMPLER.ASPECT_RATIO_GROUPING", "TRAIN.DATASETS", "TRAIN.BATCH_SIZE", "TRAIN.SIZE_DIVISIBILITY",
    "TRAIN.METRICS_ON", "TRAIN.TRANSFORMS", "TRAIN.RESIZE.SCALES", "TRAIN.RESIZE.MAX_SIZE",
    "TRAIN.RESIZE.SCALES_SAMPLING", "TRAIN.RESIZE.SCALE_FACTOR", "TRAIN.RANDOM_CROP.IOU_THS",
    "TRAIN.RANDOM_CROP.BORDER", "TRAIN.RANDOM_CROP.CAT_MAX_THS", "TRAIN.RANDOM_CROP.IGNORE_LABEL", "TRAIN.SAVE_AS_JSON",
    "TEST.DATASETS", "TEST.IMS_PER_GPU", "TEST.SIZE_DIVISIBILITY", "TEST.RESIZE.SCALE", "TEST.RESIZE.MAX_SIZE",
    "TEST.CENTER_CROP.CROP_SCALES", "SOLVER.START_ITER", "SOLVER.OPTIMIZER.BASE_LR", "SOLVER.SCHEDULER.STEPS",
    "MODEL.BACKBONE", "MODEL.FREEZE_BACKBONE", "MODEL.FREEZE_NECK", "MODEL.INSTANCE_ON",
    "MODEL.GLOBAL_HEAD.CLS.ONEHOT_ON", "MODEL.GLOBAL_HEAD.DET.RPN_ON", "MODEL.GLOBAL_HEAD.SEMSEG.PSPNET_ON",
    "MODEL.ROI_HEAD.FASTER_ON", "MODEL.ROI_HEAD.PARSING_ON", "MODEL.AUXDET.DISTANCE_LOSS_WARMUP_ITERS",
]  # fmt: skip


def test_the_documented_keys_have_their_documented_defaults() -> None:
    values = dict(get_base_cfg().leaves())
    assert {name: values[name] for name in DOCUMENTED} == DOCUMENTED
    assert set(NAMED_WITHOUT_DEFAULT) <= set(values)


@pytest.mark.parametrize("script", SCRIPTS)
def test_there_are_exactly_the_nine_sections(script: str) -> None:
    nine = ["MISC", "ANALYSER", "EVAL", "VIS", "DATA", "TRAIN", "TEST", "SOLVER", "MODEL"]
    assert list(get_base_cfg(script)) == nine


@pytest.mark.parametrize(("script", "name"), [(script, name) for script in SCRIPTS for name in schema(script).keys])
def test_a_default_obeys_its_own_declaration(script: str, name: str) -> None:
    key = schema(script).keys[name]
    fitted = checked(key, key.default)
    assert fitted == key.default
    assert type(fitted) is type(key.default)
    assert key.comment


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_key_that_waits_for_its_feature_exists(script: str) -> None:
    assert set(NOT_AVAILABLE_YET) <= set(schema(script).keys)


def test_a_base_configuration_is_the_callers_own() -> None:
    first = get_base_cfg("cls")
    first.SOLVER.OPTIMIZER.BASE_LR = 99.0
    first.TRAIN.HOOKS.append({"type": "a:B"})
    assert get_base_cfg("cls").SOLVER.OPTIMIZER.BASE_LR != 99.0
    assert get_base_cfg("cls").TRAIN.HOOKS == []


def test_a_script_without_declared_keys_is_refused_with_those_that_have_some() -> None:
    with pytest.raises(ConfigError) as caught:
        get_base_cfg("clss")
    assert str(caught.value) == "script: 'clss' has no base configuration; there are vision, cls"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("SOLVER.OPTIMIZR", "SOLVER.OPTIMIZER"),
        ("SOLVER.OPTIMIZER.BASELR", "SOLVER.OPTIMIZER.BASE_LR"),
        ("SOLVER.BASE_LR", "SOLVER.OPTIMIZER.BASE_LR"),
        ("BASE_LR", "SOLVER.OPTIMIZER.BASE_LR"),
        ("solver", "SOLVER"),
        ("SOLVER.OPTIMIZER.base_lr", "SOLVER.OPTIMIZER.BASE_LR"),
        ("TRAIN.WEIGHT", "TRAIN.WEIGHTS"),
        ("train.batch_size", "TRAIN.BATCH_SIZE"),
        ("TRAIN.BACTH_SIZE", "TRAIN.BATCH_SIZE"),
        ("TRAIN.BATCH", "TRAIN.BATCH_SIZE"),
        ("DATA.BATCH_SIZE", "TRAIN.BATCH_SIZE"),
        ("SOLVER.IMS_PER_BATCH", "TRAIN.BATCH_SIZE"),
        ("TRIAN.DATASETS", "TRAIN.DATASETS"),
        ("DATA.DATASETS", "TRAIN.DATASETS"),
        ("DATASETS", "TRAIN.DATASETS"),
        ("DATA.TYPE", "DATA.DATASET_TYPE"),
        ("SLOVER.OPTIMIZER.BASE_LR", "SOLVER.OPTIMIZER.BASE_LR"),
        ("OPTIMIZER", "SOLVER.OPTIMIZER"),
        ("SOLVER.MOMENTUM", "SOLVER.OPTIMIZER.MOMENTUM"),
        ("SOLVER.WARM_UP_ITERS", "SOLVER.SCHEDULER.WARM_UP_ITERS"),
        ("SOLVER.SCHEDULER.WARMUP_ITERS", "SOLVER.SCHEDULER.WARM_UP_ITERS"),
        ("SOLVER.TOTAL_ITERS", "SOLVER.SCHEDULER.TOTAL_ITERS"),
        ("SOLVER.MAX_ITER", "SOLVER.SCHEDULER.TOTAL_ITERS"),
        ("TRAIN.EPOCHS", "SOLVER.SCHEDULER.TOTAL_EPOCHS"),
        ("TRAIN.SNAPSHOT_ITER", "SOLVER.SNAPSHOT_ITER"),
        ("TRAIN.MAX_SIZE", "TRAIN.RESIZE.MAX_SIZE"),
        ("TEST.MAX_SIZE", "TEST.RESIZE.MAX_SIZE"),
        ("TRAIN.RESIZE.SIZE", "TRAIN.RESIZE.MAX_SIZE"),
        ("TRAIN.MIXUP_ALPHA", "TRAIN.MIXUP.ALPHA"),
        ("MISC.AUTO_RESUME", "TRAIN.AUTO_RESUME"),
        ("MODEL.WEIGHTS", "TRAIN.WEIGHTS"),
        ("PIXEL_MEANS", "DATA.PIXEL_MEAN"),
        ("RNG_SEED", "MISC.SEED"),
        ("DATA.NUM_WORKERS", "DATA.LOADER_THREADS"),
        ("MODEL.CONV_BODY", "MODEL.BACKBONE"),
        ("MODEL.ARCFACE", None),
        ("TRAIN.WORKERS", None),
        ("QQQQ", None),
    ],
)
def test_the_nearest_key_is_found_by_its_last_part_and_then_by_the_way_there(wrong: str, meant: str | None) -> None:
    assert schema("cls").nearest(wrong) == meant


def test_the_configuration_needs_neither_torch_nor_numpy() -> None:
    program = (
        "import sys, pet.config, pet.config.check, pet.config.job\n"
        "assert not {'torch', 'torchvision', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
