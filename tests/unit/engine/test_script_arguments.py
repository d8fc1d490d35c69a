"""The command line of a training script, as a rank reads it."""

from __future__ import annotations

import pytest

from pet.config import ConfigError
from pet.engine.entry import parse_args

OWN = ["--cfg=a.yaml", "--local_rank=1"]


def test_pairs_come_through_in_their_order() -> None:
    args = parse_args([*OWN, "MISC.SEED", "7", "SOLVER.SNAPSHOT_ITER", "-1"])
    assert (args.cfg_file, args.local_rank, args.opts) == (
        "a.yaml",
        1,
        ["MISC.SEED", "7", "SOLVER.SNAPSHOT_ITER", "-1"],
    )


@pytest.mark.parametrize("option", ["--bogus", "--help", "-h"])
def test_an_option_that_the_script_does_not_have_is_refused(option: str) -> None:
    """--help too: a rank that prints a text and ends would be taken for one that has trained."""
    with pytest.raises(ConfigError) as caught:
        parse_args([*OWN, "MISC.SEED", "7", option])
    (problem,) = caught.value.problems
    assert problem.field == "command line or spec.scriptArgs"
    assert problem.message == f"{option!r} is no option of the training script: leave it out; it takes KEY VALUE pairs"
