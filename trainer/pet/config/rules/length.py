"""The length of a run, and what is counted along it: warm-up, milestones, checkpoints, evaluations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from pet.config.errors import JobWarning, Problem
from pet.config.known import Known
from pet.config.profile import ProfileWindow


def first_step(cfg: Known) -> Iterator[Problem]:
    """The script writes it."""
    if cfg.SOLVER.START_ITER != 1:
        yield Problem(
            "SOLVER.START_ITER",
            f"{cfg.SOLVER.START_ITER} would be overwritten: a run goes on from its newest checkpoint, else from step 1;"
            " leave it out",
        )


def one_frequency(cfg: Known) -> Iterator[Problem]:
    """Evaluations are counted in steps or in epochs."""
    if cfg.TEST.FREQUENCY_ITERS > 0 and cfg.TEST.FREQUENCY_EPOCHS > 0:
        yield Problem(
            "TEST.FREQUENCY_EPOCHS",
            f"{cfg.TEST.FREQUENCY_EPOCHS} and TEST.FREQUENCY_ITERS {cfg.TEST.FREQUENCY_ITERS} exclude each other;"
            " give one of them",
        )


def epochs_of_steps(cfg: Known) -> Iterator[Problem]:
    """What counts in epochs needs a run that does."""
    if _epochs(cfg):
        return
    for name in ("SOLVER.SNAPSHOT_EPOCHS", "SOLVER.SCHEDULER.WARM_UP_EPOCHS", "TEST.FREQUENCY_EPOCHS"):
        if (value := cfg.at(name) or 0) > 0:
            yield Problem(
                name,
                f"{value} counts epochs, but the run's length is in steps; set"
                " SOLVER.SCHEDULER.TOTAL_EPOCHS, or use the key that counts steps",
            )


def milestones(cfg: Known) -> Iterator[Problem]:
    """They are passed one after the other."""
    scheduler = cfg.SOLVER.SCHEDULER
    if "STEP" in scheduler.POLICY and list(scheduler.STEPS) != sorted(set(scheduler.STEPS)):
        yield Problem("SOLVER.SCHEDULER.STEPS", f"{scheduler.STEPS} must rise from each milestone to the next")


def kept(cfg: Known) -> Iterator[Problem]:
    """One checkpoint alone is no safety."""
    if cfg.SOLVER.SNAPSHOT_KEEP == 1:
        yield Problem("SOLVER.SNAPSHOT_KEEP", "1 leaves nothing to fall back to; give at least 2, or 0 to keep all")


def profile(cfg: Known) -> Iterator[Problem]:
    """A window of steps."""
    try:
        ProfileWindow.parse(cfg.MISC.PROFILE)
    except ValueError as error:
        yield Problem("MISC.PROFILE", str(error))


def late_profile(cfg: Known) -> Iterator[JobWarning]:
    """A window behind the end is never reached; how many steps an epoch has, only the data set tells."""
    with suppress(ValueError):
        window = ProfileWindow.parse(cfg.MISC.PROFILE)
        total, unit = _length(cfg)
        if window and unit == "ITERS" and window.first > total:
            message = f"{cfg.MISC.PROFILE} begins behind the last step, TOTAL_ITERS {total}; give an earlier one"
            yield JobWarning("NoEffect", "MISC.PROFILE", message)


def long_warm_up(cfg: Known) -> Iterator[JobWarning]:
    """A trial run of a few steps may well end in its warm-up; it should not come as a surprise."""
    scheduler = cfg.SOLVER.SCHEDULER
    total, unit = _length(cfg)
    # How many steps an epoch has, only the data set tells: steps and epochs are not compared.
    warm_up = scheduler.at(f"WARM_UP_{unit}")
    if warm_up is not None and warm_up >= total:
        yield JobWarning(
            "WarmUpTooLong",
            f"SOLVER.SCHEDULER.WARM_UP_{unit}",
            f"{warm_up:g} is not less than TOTAL_{unit} {total}, so the learning rate never reaches BASE_LR; lower it",
        )


def never_decays(cfg: Known) -> Iterator[JobWarning]:
    """Milestones are those of a long run unless they are set; without any the rate is meant to stay."""
    scheduler = cfg.SOLVER.SCHEDULER
    total, unit = _length(cfg)
    if scheduler.POLICY == "STEP" and scheduler.STEPS and scheduler.STEPS[0] >= total:
        yield JobWarning(
            "NeverDecays",
            "SOLVER.SCHEDULER.STEPS",
            f"{scheduler.STEPS} lie beyond the end of the run, TOTAL_{unit} {total}, so POLICY STEP never lowers the "
            "learning rate; give milestones before it, another POLICY, or [] if it shall stay",
        )


def idle_length(cfg: Known) -> Iterator[JobWarning]:
    """Epochs win over steps, and all over some."""
    if epochs := _epochs(cfg):
        yield from _idle(cfg, "SOLVER.SCHEDULER.TOTAL_ITERS", f"TOTAL_EPOCHS {epochs} sets the length")
    if cfg.SOLVER.SCHEDULER.WARM_UP_EPOCHS is not None and cfg.SOLVER.SCHEDULER.WARM_UP_ITERS:  # 0 claims nothing
        yield from _idle(cfg, "SOLVER.SCHEDULER.WARM_UP_ITERS", "WARM_UP_EPOCHS sets the length of the warm-up")
    if cfg.SOLVER.SNAPSHOT_EPOCHS:
        yield from _idle(cfg, "SOLVER.SNAPSHOT_ITER", f"SNAPSHOT_EPOCHS {cfg.SOLVER.SNAPSHOT_EPOCHS} counts instead")
    if cfg.SOLVER.SNAPSHOT_KEEP == 0:
        yield from _idle(cfg, "SOLVER.SNAPSHOT_KEEP_EACH", "SNAPSHOT_KEEP 0 keeps all")


def idle_policy(cfg: Known) -> Iterator[JobWarning]:
    """Each policy has its own parameters."""
    policy = cfg.SOLVER.SCHEDULER.POLICY
    if "STEP" not in policy:
        for name in ("STEPS", "GAMMA"):
            yield from _idle(cfg, f"SOLVER.SCHEDULER.{name}", f"it belongs to POLICY STEP, and here is {policy}")
    if policy != "POLY":
        yield from _idle(cfg, "SOLVER.SCHEDULER.LR_POW", f"it belongs to POLICY POLY, and here is {policy}")


def _epochs(cfg: Known) -> int:
    """The run's length if it is counted in epochs, else 0: None and numbers up to 0 both mean that steps count."""
    return max(cfg.SOLVER.SCHEDULER.TOTAL_EPOCHS or 0, 0)


def _length(cfg: Known) -> tuple[int, str]:
    """The run's length and the unit that it is counted in, as the keys' names have it."""
    epochs = _epochs(cfg)
    return (epochs, "EPOCHS") if epochs else (cfg.SOLVER.SCHEDULER.TOTAL_ITERS, "ITERS")


def _idle(cfg: Known, name: str, why: str) -> Iterator[JobWarning]:
    """A key that was set and does nothing. The default is as good as absent: a dumped configuration holds all keys."""
    if (value := cfg.at(name)) != cfg.schema.keys[name].default:
        yield JobWarning("NoEffect", name, f"{value} has no effect: {why}; leave it out")


RULES = (first_step, one_frequency, epochs_of_steps, milestones, profile, kept)
WARNINGS = (late_profile, long_warm_up, never_decays, idle_length, idle_policy)
