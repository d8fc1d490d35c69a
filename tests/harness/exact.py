"""Trainings that are stopped after a step and gone on with by new processes, and what must be as if they had not been.

All run on the real engine: loader with workers, DDP over gloo, checkpointer, loop. One uninterrupted training of a
setting saves after each step; a case begins with one of these checkpoints alone, in ranks that are forked from a
process that has imported torch and started no thread, so that it takes about a second.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, permutations, product
from pathlib import Path
from typing import Any

from harness.exact_rank import EPOCH, EPOCHS, Life, live, samples_of_an_epoch
from harness.ranks import run_ranks
from harness.training import differences

STEPS = range(1, EPOCHS * EPOCH + 1)
# A test has one card for all ranks, which find each other over gloo: NCCL refuses two ranks on one card.
ONE_CARD = {"LOCAL_RANK": "0"}
STOPS = STEPS[:40]
NOT_EXACT = "resume is not bit-exact"


@dataclass(frozen=True)
class Setting:
    """One way to train."""

    ranks: int
    workers: int  # of each rank's loader
    accumulate: int = 1  # batches of a step
    feature: str = ""  # of FEATURES; several are joined by +
    device: str = "cpu"

    def __str__(self) -> str:
        others = "".join(f"-{word}" for word in (self.feature, self.device) if word not in ("", "cpu"))
        return f"{self.ranks}-ranks-{self.workers}-workers-{self.accumulate}-batches{others}"

    @property
    def keys(self) -> tuple[Any, ...]:
        """What it changes in the configuration."""
        own = chain.from_iterable(FEATURES[name] for name in self.feature.split("+") if name)
        return ("DATA.LOADER_THREADS", self.workers, "SOLVER.ACCUMULATE_STEPS", self.accumulate,
                "MISC.DEVICE", self.device, *own)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A training that is stopped after a step."""

    setting: Setting
    stop: int

    def __str__(self) -> str:
        return f"{self.setting}-stop-{self.stop}"


@dataclass(frozen=True)
class Change:
    """One that goes on in another number of ranks."""

    case: Case
    ranks: int

    def __str__(self) -> str:
        return f"{self.case}-then-{self.ranks}-ranks"


# What changes a step, and mostly has a state of its own. Clipping is on in all other settings.
FEATURES: dict[str, tuple[Any, ...]] = {
    "bfloat16": ("SOLVER.AMP.ENABLED", True),
    "float16": ("SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", "float16"),
    "moving-average": ("SOLVER.EMA.ENABLED", True, "SOLVER.EMA.DECAY", 0.9),
    "precise-batch-norm": ("TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.PERIOD", 4, "TEST.PRECISE_BN.NUM_ITER", 3),
    "saved-in-background": ("SOLVER.SNAPSHOT_BACKGROUND", True),
    "no-clipping": ("SOLVER.OPTIMIZER.CLIP_GRADIENTS.ENABLED", False),
    "sgd": ("SOLVER.OPTIMIZER.TYPE", "SGD"),
    "buffers-sent": ("SOLVER.DDP.BROADCAST_BUFFERS", True),
    "unused-looked-for": ("SOLVER.DDP.FIND_UNUSED", True),
    "channels-last": ("MISC.CHANNELS_LAST", True),
    "deterministic": ("MISC.DETERMINISTIC", True),
    "compiled": ("MISC.COMPILE", True),
}
RANKS = (1, 2, 3, 4)
SETTINGS = [Setting(*values) for values in product(RANKS, (0, 2), (1, 3))]
FEATURED = [Setting(ranks, 0, accumulate, feature) for feature in FEATURES
            for ranks, accumulate in zip(RANKS, (1, 3, 1, 3), strict=True)]  # fmt: skip
CASES = [Case(setting, stop) for setting in SETTINGS for stop in STOPS]
FEATURED_CASES = [Case(setting, stop) for setting in FEATURED for stop in (1, 8, 9, 23, 31)]
CHANGES = [
    Change(Case(Setting(before, workers, accumulate), stop), after)
    for before, after in permutations(RANKS, 2)
    for workers, accumulate, stop in ((0, 1, 14), (2, 3, 18))
]


class References:
    """Uninterrupted trainings by setting, each run once, and what goes on from their checkpoints."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        self.whole = cache(self._whole)
        self.saving = cache(self._saving)

    def resumed(self, case: Case, folder: Path, *, then: Setting | None = None, without: str = "") -> list[Life]:
        """What the ranks do that go on in an empty folder with the case's checkpoint; `then` in another setting."""
        self.saving(case.setting)
        self._take(case, folder / "ckpt")
        return self._train(folder, then or case.setting, without=without)

    def _whole(self, setting: Setting) -> list[Life]:
        """By rank, what a training does that saves after its last step only."""
        return self._train(self._folder(setting, "whole"), setting)

    def _saving(self, setting: Setting) -> list[Life]:
        """The same of one that saves after each step."""
        return self._train(self._folder(setting, "saving"), setting, "SOLVER.SNAPSHOT_ITER", 1)

    def _folder(self, setting: Setting, kind: str) -> Path:
        return self.folder / f"{setting}-{kind}"

    def _take(self, case: Case, target: Path) -> None:
        """The checkpoint of the case's step, and whose it is."""
        source = self._folder(case.setting, "saving") / "ckpt"
        manifests = {json.loads(path.read_text())["iteration"]: path for path in source.glob("*.manifest.json")}
        manifest = manifests[case.stop]
        target.mkdir(parents=True)
        for name in ("OWNER", manifest.name, json.loads(manifest.read_text())["file"]):
            (target / name).write_bytes((source / name).read_bytes())

    def _train(self, folder: Path, setting: Setting, *overrides: Any, without: str = "") -> list[Life]:
        keys = ("MISC.SEED", self.seed, *setting.keys, *overrides)
        environ = ONE_CARD if setting.device == "cuda" else None
        return run_ranks(live, setting.ranks, str(folder), keys, without, environ=environ)


def check(case: Case, references: References, folder: Path) -> None:
    """Every rank goes on with what the uninterrupted training did, and ends where it ended."""
    assert differing_parts(case, references, folder) == []
    assert NOT_EXACT not in log_of(folder)


def differing_parts(case: Case, references: References, folder: Path, without: str = "") -> list[str]:
    """Where a resumed training is not what it would have been; `without` one of the safeguards."""
    expected = references.saving(case.setting)
    found = references.resumed(case, folder, without=without)
    assert [life["begins"] for life in found] == [case.stop] * case.setting.ranks
    return differences([_after(case.stop, life) for life in expected], [_after(0, life) for life in found])


def check_whole(setting: Setting, references: References) -> None:
    """An epoch takes each sample once, all epochs differ, and neither saves nor workers leave a trace."""
    whole = references.whole(setting)
    by_step = _together(whole)
    size = samples_of_an_epoch(setting.accumulate)
    for begin in range(0, len(STEPS), EPOCH):
        assert sorted(index for index, _ in chain(*by_step[begin : begin + EPOCH])) == list(range(size))
    assert len({data for _, data in chain(*by_step)}) == EPOCHS * size
    assert differences(whole, references.saving(setting)) == []
    assert differences(whole, references.whole(replace(setting, workers=0))) == []


def check_change(change: Change, references: References, folder: Path) -> None:
    """Each step that is left takes the same samples in the same order, and the log tells of bits that are not."""
    case = change.case
    check_moved(case, replace(case.setting, ranks=change.ranks), references, folder)
    assert f"{NOT_EXACT}: the number of ranks was {case.setting.ranks}, is {change.ranks}" in log_of(folder)


def check_moved(case: Case, then: Setting, references: References, folder: Path) -> list[Life]:
    """What goes on in a setting of other bits takes the same samples in the same order in each step that is left."""
    expected, found = references.saving(case.setting), references.resumed(case, folder, then=then)
    assert [life["begins"] for life in found] == [case.stop] * then.ranks
    assert _together(found) == _together(expected)[case.stop :]
    return found


def log_of(folder: Path) -> str:
    """What rank 0 logged."""
    (log,) = (folder / "ckpt" / "log").iterdir()
    return log.read_text(encoding="utf-8")


def _after(stop: int, life: Life) -> Life:
    return {"samples": life["samples"][stop:], "losses": life["losses"][stop:], "end": life["end"]}


def _together(lives: Sequence[Life]) -> list[list[Any]]:
    """The samples of each step over all ranks, batch by batch."""
    steps = zip(*(life["samples"] for life in lives), strict=True)
    return [[sample for batch in zip(*of_ranks, strict=True) for share in batch for sample in share]
            for of_ranks in steps]  # fmt: skip
