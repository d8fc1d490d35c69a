"""A training on a card that is stopped and gone on with by new processes does what it would have done.

Bits are promised with MISC.DETERMINISTIC; without it torch may add in any order. Ranks that share the card find each
other over gloo, since NCCL refuses that: of two ranks over NCCL nothing is shown here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from harness.card import DEVICE
from harness.exact import NOT_EXACT, Case, References, Setting, check, check_moved, check_whole, log_of

ALWAYS = "deterministic"
EVERYTHING = f"{ALWAYS}+float16+moving-average+channels-last+precise-batch-norm"
SETTINGS = [
    Setting(ranks, workers, accumulate, feature, DEVICE)
    for ranks, workers, accumulate, feature in (
        (1, 0, 1, f"{ALWAYS}+compiled"),
        (1, 0, 3, f"{ALWAYS}+compiled+bfloat16"),
        (1, 0, 1, ALWAYS),
        (1, 2, 3, ALWAYS),
        (1, 0, 1, f"{ALWAYS}+bfloat16"),
        (1, 0, 3, f"{ALWAYS}+float16"),
        (1, 2, 1, f"{ALWAYS}+moving-average"),
        (1, 0, 1, f"{ALWAYS}+precise-batch-norm"),
        (1, 0, 1, f"{ALWAYS}+sgd+channels-last"),
        (1, 0, 1, f"{ALWAYS}+sgd+float16+no-clipping"),
        (1, 2, 3, EVERYTHING),
        (2, 0, 3, ALWAYS),
        (3, 2, 1, f"{ALWAYS}+bfloat16"),
    )
]
STOPS = (1, 9, 23)  # within an epoch, at its end, and in another one
OTHER = {"cuda": "cpu", "cpu": "cuda"}
MOVED = [
    Case(Setting(1, 0, accumulate, feature, device), 14)
    for accumulate, feature in ((1, ALWAYS), (3, f"{ALWAYS}+sgd+moving-average+channels-last"))
    for device in OTHER
]


# One test for each: all of them need the same uninterrupted trainings, and processes of pytest share none.
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_takes_every_sample_once_and_goes_on_bit_for_bit(
    setting: Setting, memory_path: Path, references: References
) -> None:
    check_whole(setting, references)
    for stop in STOPS:
        check(Case(setting, stop), references, memory_path / str(stop))


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("case", MOVED, ids=str)
def test_another_device_goes_on_with_the_same_state_and_samples_and_says_that_bits_differ(
    case: Case, memory_path: Path, references: References
) -> None:
    other = OTHER[case.setting.device]
    (moved,) = check_moved(case, replace(case.setting, device=other), references, memory_path / "moved")
    (stayed,) = references.resumed(case, memory_path / "stayed")
    for part in ("parameters", "buffers", "scheduler", "hooks", "shown numbers"):
        assert moved["start"][part] == stayed["start"][part], part
    reason = f"{NOT_EXACT}: MISC.DEVICE was {case.setting.device!r}, is {other!r}"
    assert reason in log_of(memory_path / "moved")
