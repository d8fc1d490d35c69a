"""What has to hold between a job and its configuration, and what is worth knowing of the two."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import partial

from pet.config.defaults.cls import BACKBONES
from pet.config.errors import JobWarning, Problem
from pet.config.known import Known
from pet.config.rules.data import SPLITS


def device(job: Known, cfg: Known) -> Iterator[Problem]:
    """Ranks compute on what the job asks its nodes for."""
    gpus, name = job.spec.gpus_per_node, cfg.MISC.DEVICE
    if gpus == 0 and name != "cpu":
        yield Problem("MISC.DEVICE", f"{name!r} needs GPUs, and spec.gpusPerNode is 0; give cpu")
    if gpus > 0 and name == "cpu":
        message = f"'cpu' leaves {gpus} GPU(s) per node idle; give cuda, or spec.gpusPerNode: 0"
        yield Problem("MISC.DEVICE", message)


def folder(job: Known, cfg: Known) -> Iterator[JobWarning]:
    """The image's own files may name a folder for runs by hand."""
    if cfg.MISC.CKPT and job.spec.config is not None:
        place = "spec.checkpoint.path says where checkpoints go"
        yield JobWarning("CkptIgnored", "MISC.CKPT", f"{cfg.MISC.CKPT!r} is ignored in a job; {place}")


def keep(job: Known, cfg: Known) -> Iterator[JobWarning]:
    """The job wins over its configuration."""
    ours, theirs = job.spec.checkpoint.keep, cfg.SOLVER.SNAPSHOT_KEEP
    if ours is not None and theirs not in (ours, cfg.schema.keys["SOLVER.SNAPSHOT_KEEP"].default):
        message = f"{theirs} has no effect: spec.checkpoint.keep {ours} counts in a job; leave it out"
        yield JobWarning("NoEffect", "SOLVER.SNAPSHOT_KEEP", message)


def resume(job: Known, cfg: Known) -> Iterator[JobWarning]:
    """Pet's key and the job's field: whoever says no wins."""
    if job.spec.checkpoint.resume == "Auto" and not cfg.TRAIN.AUTO_RESUME:
        message = "False counts as spec.checkpoint.resume: Never, although that is Auto; give Never there, or True here"
        yield JobWarning("ResumeOff", "TRAIN.AUTO_RESUME", message)


def no_volume(job: Known) -> Iterator[JobWarning]:
    """In a cluster checkpoints live as long as what they lie on."""
    checkpoint = job.spec.checkpoint
    if checkpoint.volume is None:
        loss = "they go when its pod goes" if job.spec.nodes == 1 else "none is saved: each restart begins at step 1"
        message = f"is absent, so in a cluster checkpoints have no volume and {loss}; give a claimName or a size"
        yield JobWarning("NotPersistent", "spec.checkpoint.volume", message)


def foreign_claim(job: Known) -> Iterator[JobWarning]:
    """The operator deletes only what it made."""
    volume = job.spec.checkpoint.volume
    if volume is not None and volume.claim_name and job.spec.checkpoint.on_delete == "Delete":
        message = f"Delete has no effect on the claim {volume.claim_name}: the operator did not make it"
        yield JobWarning("ClaimNotOurs", "spec.checkpoint.onDelete", message)


def backbone(job: Known, cfg: Known) -> Iterator[Problem]:
    """It is one of those that can be built."""
    name = cfg.MODEL.BACKBONE
    if cfg.schema.script == "cls" and name not in BACKBONES:
        close = difflib.get_close_matches(name.lower(), BACKBONES, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(BACKBONES))}"
        yield Problem("MODEL.BACKBONE", f"{name!r} is no backbone of the stock image; {hint}")


def data_sets(split: str, job: Known, cfg: Known) -> Iterator[Problem]:
    """A name says which split of which data set it means."""
    for name in getattr(cfg, split).DATASETS if cfg.schema.script == "cls" else ():
        base, _, ending = name.rpartition("_")
        if not base or ending not in SPLITS:
            yield Problem(f"{split}.DATASETS", f"{name!r} must be <name>_train, <name>_val or <name>_test")


RULES = (device,)
# What another image's script may register for itself.
RULES_OF_STOCK_IMAGE = (backbone, partial(data_sets, "TRAIN"), partial(data_sets, "TEST"))
WARNINGS = (folder, keep, resume)
WARNINGS_OF_CLUSTER = (no_volume, foreign_claim)  # whatever the configuration
