"""`resume: Never` by hand: a new start begins at the first step, a restart in place of the same start does not."""

from __future__ import annotations

from pathlib import Path

from harness.training import Training, fault

from pet.store.owner import Owner, parse_owner

STEPS = 12


def owner(training: Training) -> Owner:
    return parse_owner((training.checkpoints / "OWNER").read_bytes())


def test_never_begins_anew_at_a_new_start_and_goes_on_at_a_restart_in_place(
    tmp_path: Path, fashion_mnist: Path
) -> None:
    training = Training(tmp_path, fashion_mnist, steps=STEPS, period=5, environ={"PETJOB_RESUME": "Never"})
    training.hooks = [fault(tmp_path, step=8, rank=0, target="rank", number="SIGKILL")]
    code, output = training.run()
    assert code == 0, output
    once = [*range(1, 8), *range(6, STEPS + 1)]
    assert training.steps_done == once, "from its own checkpoint at 5"
    first = owner(training)
    assert (first.local, first.generation) == (True, (1, 1))
    assert (training.termination["attempt"], training.termination["restart"]) == (1, 1)
    assert training.termination["progress"]["resumedFrom"] == 5

    code, output = training.run()
    assert code == 0, output
    assert training.steps_done == [*once, *range(1, STEPS + 1)]
    second = owner(training)
    assert (second.uid != first.uid, second.generation) == (True, (2, 0))
    assert training.termination["progress"]["resumedFrom"] is None
