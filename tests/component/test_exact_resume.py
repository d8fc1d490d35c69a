"""A training that is stopped and gone on with by new processes does what it would have done.

A sample of the cases; `tests/reliability` has all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.exact import Case, Change, References, Setting, check, check_change, check_whole, differing_parts
from harness.exact_rank import SAFEGUARDS
from harness.memory import memory_folder

# Within an epoch, at its end, and in the next.
CASES = [Case(Setting(*setting), stop) for setting in ((1, 2, 1), (2, 0, 3), (3, 0, 1), (4, 2, 1))
         for stop in (1, 9, 23)]  # fmt: skip


@pytest.fixture(scope="module")
def references() -> Iterator[References]:
    """Uninterrupted trainings."""
    with memory_folder() as folder:
        yield References(folder, seed=0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_goes_on_bit_for_bit(case: Case, memory_path: Path, references: References) -> None:
    check(case, references, memory_path)


def test_takes_every_sample_once_and_neither_saves_nor_workers_leave_a_trace(
    references: References,
) -> None:
    check_whole(Setting(ranks=1, workers=2), references)


def test_another_number_of_ranks_takes_the_same_samples_and_says_that_bits_differ(
    memory_path: Path, references: References
) -> None:
    check_change(Change(Case(Setting(ranks=3, workers=0), stop=14), ranks=4), references, memory_path)


@pytest.mark.parametrize("safeguard", SAFEGUARDS)
def test_without_a_safeguard_it_does_not(safeguard: str, memory_path: Path, references: References) -> None:
    case = Case(Setting(ranks=3, workers=0), stop=14)
    differing = differing_parts(case, references, memory_path, without=safeguard)
    assert [place for place in differing if SAFEGUARDS[safeguard].missed_in in place] != []
