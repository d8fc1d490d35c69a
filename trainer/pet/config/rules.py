"""What has to hold between the keys of a configuration, and which keys wait for their feature."""

from __future__ import annotations

from collections.abc import Iterator

from pet.config.errors import Problem
from pet.config.node import Config

# The one list of keys that exist and do nothing yet: another value than the default is refused, never ignored.
NOT_AVAILABLE_YET = {
    "MISC.COMPILE": "torch.compile",
    "MISC.PROFILE": "the profiler",
    "VIS.ENABLED": "drawing of results",
    "VIS.BOX.ENABLED": "drawing of boxes",
    "VIS.CLASS.ENABLED": "drawing of classes",
    "VIS.KEYPOINT.ENABLED": "drawing of keypoints",
    "VIS.MASK.ENABLED": "drawing of masks",
    "VIS.PANOSEG.ENABLED": "drawing of panoptic segments",
    "VIS.PARSING.ENABLED": "drawing of human parts",
    "VIS.SEMSEG.ENABLED": "drawing of semantic segments",
    "TRAIN.RESIZE.SCALE_FACTOR": "resizing by a random factor",
    "TRAIN.USE_TENSORBOARD": "the TensorBoard writer",
    "TEST.WEIGHTS": "evaluation of given weights without training",
    "TEST.PRECISE_BN.ENABLED": "precise batch-norm statistics",
    "SOLVER.AMP.ENABLED": "mixed precision",
    "SOLVER.ACCUMULATE_STEPS": "gradient accumulation",
    "SOLVER.EMA.ENABLED": "the moving average of the weights",
    "SOLVER.NAN_GUARD_SKIP": "skipping the batches that went bad",
    "MODEL.AUXDET.STEP1_ENABLED": "the warm-up of an auxiliary head",
    "MODEL.AUXDET.DISTANCE_LOSS_WARMUP_ITERS": "the warm-up of an auxiliary head",
}
HOOK_FIELDS: dict[str, tuple[type, ...]] = {"type": (str,), "args": (dict,), "priority": (int, str), "name": (str,)}


def check_config(cfg: Config, world_size: int | None) -> list[Problem]:
    """Every rule that the configuration breaks. `world_size` None: not known, so nothing is said about it."""
    rules = (_not_available, _data, _length, _optimizer, _hooks, _classification)
    problems = [problem for rule in rules for problem in rule(cfg)]
    if world_size is not None and (batch := cfg.TRAIN.BATCH_SIZE) % world_size:
        lower, upper = batch // world_size * world_size, (batch // world_size + 1) * world_size
        fitting = f"{lower} or {upper}" if lower else f"{upper}"
        problems.append(
            Problem(
                "TRAIN.BATCH_SIZE",
                f"{batch} is for all ranks together and does not divide by the world size {world_size}; give {fitting}",
            )
        )
    return problems


def _not_available(cfg: Config) -> Iterator[Problem]:
    values = dict(cfg.leaves())
    for name, feature in NOT_AVAILABLE_YET.items():
        default = cfg.schema.keys[name].default
        if values[name] != default:
            yield Problem(name, f"{feature} is not available yet in this release; leave it at {default!r}")


def _data(cfg: Config) -> Iterator[Problem]:
    if not cfg.TRAIN.DATASETS:
        yield Problem("TRAIN.DATASETS", "names no data set; give at least one, for example [fashion_mnist_train]")
    if not cfg.TRAIN.RESIZE.SCALES:
        yield Problem("TRAIN.RESIZE.SCALES", "is empty; give at least one size in pixels, for example [224]")
    mean, std = cfg.DATA.PIXEL_MEAN, cfg.DATA.PIXEL_STD
    if len(mean) != len(std):
        yield Problem("DATA.PIXEL_STD", f"has {len(std)} entries and DATA.PIXEL_MEAN {len(mean)}; give one per channel")
    if any(value <= 0 for value in std):
        yield Problem("DATA.PIXEL_STD", f"{std} divides the image: every entry must be above 0")


def _length(cfg: Config) -> Iterator[Problem]:
    """What counts in epochs needs a run that does; milestones must rise; one checkpoint alone is no safety."""
    scheduler = cfg.SOLVER.SCHEDULER
    if cfg.SOLVER.START_ITER != 1:
        yield Problem(
            "SOLVER.START_ITER",
            f"{cfg.SOLVER.START_ITER} would be overwritten: a run goes on from its newest checkpoint, else from step 1;"
            " leave it out",
        )
    if cfg.TEST.FREQUENCY_ITERS > 0 and cfg.TEST.FREQUENCY_EPOCHS > 0:
        yield Problem(
            "TEST.FREQUENCY_EPOCHS",
            f"{cfg.TEST.FREQUENCY_EPOCHS} and TEST.FREQUENCY_ITERS {cfg.TEST.FREQUENCY_ITERS} exclude each other;"
            " give one of them",
        )
    if (scheduler.TOTAL_EPOCHS or 0) <= 0:
        in_epochs = {
            "SOLVER.SNAPSHOT_EPOCHS": cfg.SOLVER.SNAPSHOT_EPOCHS,
            "SOLVER.SCHEDULER.WARM_UP_EPOCHS": scheduler.WARM_UP_EPOCHS,
            "TEST.FREQUENCY_EPOCHS": cfg.TEST.FREQUENCY_EPOCHS,
        }
        for name, value in in_epochs.items():
            if (value or 0) > 0:
                yield Problem(
                    name,
                    f"{value} counts epochs, but the run's length is in steps; set"
                    " SOLVER.SCHEDULER.TOTAL_EPOCHS, or use the key that counts steps",
                )
    if "STEP" in scheduler.POLICY and list(scheduler.STEPS) != sorted(set(scheduler.STEPS)):
        yield Problem("SOLVER.SCHEDULER.STEPS", f"{scheduler.STEPS} must rise from each milestone to the next")
    if cfg.SOLVER.SNAPSHOT_KEEP == 1:
        yield Problem("SOLVER.SNAPSHOT_KEEP", "1 leaves nothing to fall back to; give at least 2, or 0 to keep all")


def _optimizer(cfg: Config) -> Iterator[Problem]:
    optimizer = cfg.SOLVER.OPTIMIZER
    if optimizer.NESTEROV and (optimizer.TYPE != "SGD" or optimizer.MOMENTUM == 0):
        yield Problem(
            "SOLVER.OPTIMIZER.NESTEROV",
            f"needs TYPE SGD and a MOMENTUM above 0; here are {optimizer.TYPE} and {optimizer.MOMENTUM:g}",
        )


def _hooks(cfg: Config) -> Iterator[Problem]:
    for index, entry in enumerate(cfg.TRAIN.HOOKS):
        field = f"TRAIN.HOOKS[{index}]"
        if "type" not in entry:
            yield Problem(f"{field}.type", "is missing; give 'module:Class' or the name of a registered hook")
        for name, value in entry.items():
            if name not in HOOK_FIELDS:
                yield Problem(f"{field}.{name}", f"no such field; a hook has {', '.join(HOOK_FIELDS)}")
            elif not isinstance(value, HOOK_FIELDS[name]) or isinstance(value, bool):
                kinds = " or ".join(kind.__name__ for kind in HOOK_FIELDS[name])
                yield Problem(f"{field}.{name}", f"{value!r} is not {kinds}")


def _classification(cfg: Config) -> Iterator[Problem]:
    if cfg.schema.script != "cls":
        return
    stages, blocks = cfg.MODEL.SLIM_RESNET.WIDTHS, cfg.MODEL.SLIM_RESNET.BLOCKS
    if len(stages) != len(blocks) or not stages:
        yield Problem(
            "MODEL.SLIM_RESNET.BLOCKS",
            f"has {len(blocks)} stages and WIDTHS {len(stages)}; give the same number, at least one",
        )
    if len(cfg.DATA.PIXEL_MEAN) != cfg.MODEL.IN_CHANNELS:
        yield Problem(
            "DATA.PIXEL_MEAN",
            f"has {len(cfg.DATA.PIXEL_MEAN)} entries for MODEL.IN_CHANNELS"
            f" {cfg.MODEL.IN_CHANNELS}; give one per channel",
        )
    yield from _sizes(cfg)


def _sizes(cfg: Config) -> Iterator[Problem]:
    """What the transforms in use say about the size of images: all those of a batch must have the same."""
    if "random_crop" in cfg.TRAIN.TRANSFORMS and len(cfg.TRAIN.RANDOM_CROP.CROP_SCALES) != 1:
        yield Problem(
            "TRAIN.RANDOM_CROP.CROP_SCALES",
            f"{cfg.TRAIN.RANDOM_CROP.CROP_SCALES} must be a single (height,"
            " width) here: all images of a batch have the same size",
        )
    if "resize" in cfg.TRAIN.TRANSFORMS and cfg.TRAIN.RESIZE.SCALES_SAMPLING == "scale_factor":
        yield Problem("TRAIN.RESIZE.SCALES_SAMPLING", "'scale_factor' is for detection; give 'choice' or 'range'")
    shorter_sides = {"TRAIN": (*cfg.TRAIN.RESIZE.SCALES, 0), "TEST": (cfg.TEST.RESIZE.SCALE,)}
    for split, sides in shorter_sides.items():
        longest, shortest = cfg[split].RESIZE.MAX_SIZE, max(sides)
        if "resize" in cfg[split].TRANSFORMS and longest <= shortest:
            yield Problem(f"{split}.RESIZE.MAX_SIZE", f"{longest} must be more than the shorter side, {shortest}")
