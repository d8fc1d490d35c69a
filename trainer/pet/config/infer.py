"""What follows from a configuration without being written in it, and the fingerprint of its arithmetic."""

from __future__ import annotations

import hashlib
import json
import posixpath
from typing import Any

from pet.config.node import Config

# What does not decide which weights a run arrives at. TEST.PRECISE_BN is the exception to its section.
WITHOUT_EFFECT = (
    "MISC.VERSION", "MISC.CKPT", "MISC.DISPLAY_ITER", "MISC.PROFILE", "ANALYSER.", "EVAL.", "VIS.",
    "DATA.LOADER_THREADS", "DATA.PIN_MEMORY", "DATA.PREFETCH",
    "TRAIN.AUTO_RESUME", "TRAIN.METRICS_ON", "TRAIN.SAVE_AS_JSON", "TRAIN.USE_TENSORBOARD",
    "SOLVER.START_ITER", "SOLVER.SNAPSHOT_", "SOLVER.NAN_GUARD", "SOLVER.SCHEDULER.LOG_", "TEST.",
)  # fmt: skip
WITH_EFFECT = ("TEST.PRECISE_BN.",)


def infer_cfg(cfg: Config, cfg_file: str | None = None) -> Config:
    """Switch on what the model's parts imply, and name the checkpoint folder after the file. Idempotent.

    An empty MISC.CKPT becomes the file's path with `ckpts` for `cfgs` and without its suffix; without a file it
    stays empty, which means: save nothing.
    """
    if cfg_file and not cfg.MISC.CKPT:
        cfg.MISC.CKPT = checkpoint_folder(cfg_file)
    if any(switch.ENABLED for name, switch in cfg.VIS.items() if name != "ENABLED"):
        cfg.VIS.ENABLED = True
    if "GLOBAL_HEAD" in cfg.MODEL:
        _infer_heads(cfg.MODEL)
    return cfg


def checkpoint_folder(cfg_file: str) -> str:
    """`cfgs/x/y.yaml` → `ckpts/x/y`. The copy in a run's own folder, `ckpts/x/y/y.yaml`, gives that folder."""
    parts = posixpath.normpath(cfg_file).split("/")
    folders, stem = parts[:-1], posixpath.splitext(parts[-1])[0]
    if "cfgs" in folders:
        last = len(folders) - 1 - folders[::-1].index("cfgs")
        return "/".join([*folders[:last], "ckpts", *folders[last + 1 :], stem])
    if "ckpts" in folders:
        return "/".join(folders)
    return f"ckpts/{stem}"


def config_hash(cfg: Config) -> str:
    """16 hexadecimal digits that change with whatever decides the training arithmetic, and with nothing else."""
    canonical = json.dumps(deciding_keys(cfg), sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def deciding_keys(cfg: Config) -> dict[str, Any]:
    """The keys that decide the training arithmetic, with their values."""
    epochs = cfg.SOLVER.SCHEDULER.TOTAL_EPOCHS
    ignored: tuple[str, ...] = WITHOUT_EFFECT
    if epochs is not None and epochs > 0:
        ignored += ("SOLVER.SCHEDULER.TOTAL_ITERS",)  # the script writes the run's length into it
    return {name: value for name, value in cfg.leaves() if name.startswith(WITH_EFFECT) or not name.startswith(ignored)}


def _infer_heads(model: Config) -> None:
    heads, rois = model.GLOBAL_HEAD, model.ROI_HEAD
    for kind in ("CLS", "DET", "SEMSEG"):
        heads[f"{kind}_ON"] = heads[f"{kind}_ON"] or any(heads[kind].values())
    implied = {
        "HAS_BOX": heads.DET_ON or rois.FASTER_ON or rois.CASCADE_ON or rois.GRID_ON,
        "HAS_MASK": heads.INSSEG_ON or rois.MASK_ON,
        "HAS_SEMSEG": heads.SEMSEG_ON,
        "HAS_PANOSEG": heads.PANOSEG_ON,
        "HAS_KEYPOINTS": rois.KEYPOINT_ON,
        "HAS_PARSING": rois.PARSING_ON,
        "HAS_CLS": heads.CLS_ON,
    }
    for name, value in implied.items():
        model[name] = model[name] or value
