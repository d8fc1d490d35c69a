"""How long ranks may go on after one of them has ended badly."""

from __future__ import annotations

import pytest

from pet.launch.patience import patience, stop_seconds
from pet.runfiles.exits import ExitCode

GRACE = 60.0
APP, PEER, LEFT = ExitCode.APP_ERROR, ExitCode.PEER_LOST, ExitCode.PREEMPTED

# bad ends here, a rank saves, somebody was asked to stop → seconds
TABLE: list[tuple[set[ExitCode], bool, bool, float]] = [
    ({APP}, False, False, 2.0),
    ({APP, PEER}, False, False, 2.0),
    ({APP, LEFT}, False, True, 2.0),
    # The cause is still to be told, by a rank here or on another node.
    ({PEER}, False, False, 5.0),
    ({PEER, LEFT}, False, True, 5.0),
    (set(), False, False, 5.0),
    # The checkpoint under way is the one that a restart needs.
    ({APP}, True, False, 30.0),
    ({PEER}, True, False, 30.0),
    # All are leaving by themselves, with the whole of the grace period to save in.
    ({LEFT}, False, False, stop_seconds(GRACE)),
    ({LEFT}, True, False, stop_seconds(GRACE)),
    (set(), False, True, stop_seconds(GRACE)),
    (set(), True, True, stop_seconds(GRACE)),
]


@pytest.mark.parametrize(("codes", "saving", "leaving", "seconds"), TABLE)
def test_seconds_left(codes: set[ExitCode], saving: bool, leaving: bool, seconds: float) -> None:
    assert patience(codes, saving=saving, leaving=leaving, grace=GRACE) == seconds


@pytest.mark.parametrize(("grace", "seconds"), [(60.0, 55.0), (30.0, 25.0), (8.0, 4.0), (2.0, 1.0), (0.0, 0.0)])
def test_ranks_are_ended_before_the_grace_period_is_over(grace: float, seconds: float) -> None:
    assert stop_seconds(grace) == seconds
