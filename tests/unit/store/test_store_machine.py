"""The store against a model of it: saves, deaths, damage, restarts, take-overs, in any order.

The model knows what was acknowledged and what was damaged since. A start must give the newest acknowledged checkpoint
that is whole, or a newer one whose save was cut off after its commit; it stops where there were checkpoints and none is
whole; and it never gives bytes that were not saved.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from harness.corruption import DAMAGES
from harness.dying import Death, live
from harness.stores import JOB, hidden, iteration_of, opened, save, temporary
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pet.store.errors import CheckpointUnusable, Fenced
from pet.store.folder import Selected
from pet.store.owner import Identity
from pet.store.tenure import Tenure

KEEP = 2


@dataclass
class Known:
    """One checkpoint as the model knows it, written by `uid`."""

    uid: str
    certain: bool = True  # it is surely there; otherwise it may be gone, or never have come to be
    whole: bool = True
    listed: bool = True  # its manifest can be read, so retention counts it
    resumed: bool = False  # the process that runs now loaded this very pair


class Store(RuleBasedStateMachine):
    """One folder and the process that owns it now; `tenure` is None while nobody runs."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.folder = self.path / "folder"
        self.identity: Identity = JOB
        self.tenure: Tenure | None = None
        self.former: Tenure | None = None
        self.known: dict[int, Known] = {}
        self.iteration = 0
        self.before: int | None = None  # the next start has to go on from before this step
        self.uids = 1

    def teardown(self) -> None:
        shutil.rmtree(self.path)

    @initialize()
    def first_start(self) -> None:
        self._start()

    @precondition(lambda self: self.tenure is not None)
    @rule(steps=st.integers(1, 3))
    def save_after_some_steps(self, steps: int) -> None:
        self.iteration += steps
        save(self._running(), self.iteration, keep=KEEP)
        self._saved()

    @precondition(lambda self: self.tenure is not None and self.iteration in self.known)
    @rule()
    def save_the_same_step_again(self) -> None:
        save(self._running(), self.iteration, keep=KEEP)
        self._saved()

    @precondition(lambda self: self.tenure is not None)
    @rule(steps=st.integers(0, 3), call=st.integers(1, 30), torn=st.booleans(), names=st.booleans(), data=st.booleans())
    def die_in_a_save(self, steps: int, call: int, torn: bool, names: bool, data: bool) -> None:
        self.iteration += steps
        tenure = self._running()
        life = live(lambda report: save(tenure, self.iteration, keep=KEEP), Death(call, torn, names, data))
        before = self.known.get(self.iteration)
        if not life.died:
            self._saved()
        else:
            if before is None or not before.whole:
                # What was there before, if anything, or the new one, or neither.
                self.known[self.iteration] = Known(self.identity.uid, certain=False)
            self._retain(certain=False)
        self.former, self.tenure = self.tenure, None

    @precondition(lambda self: any(known.certain and known.whole for known in self.known.values()))
    @rule(kind=st.sampled_from(sorted(set(DAMAGES) - {"swapped pairs", "missing"})), manifest=st.booleans(),
          choice=st.randoms(use_true_random=False))  # fmt: skip
    def damage(self, kind: str, manifest: bool, choice: random.Random) -> None:
        present = sorted(iteration for iteration, known in self.known.items() if known.certain and known.whole)
        target = choice.choice(present)
        others = [iteration for iteration in present if iteration != target]
        if not others and "another" in kind:
            return
        other = f"model_iter{choice.choice(others)}.pth" if others else ""
        DAMAGES[kind](self.folder, f"model_iter{target}.pth", other, manifest, choice)
        self.known[target].whole = False
        self.known[target].listed = not manifest and kind != "pair of another"

    @precondition(lambda self: self.tenure is not None)
    @rule()
    def make_room(self) -> None:
        """Only the newest that is whole stays of the running job's own, and what is newer and damaged."""
        own = [i for i, known in self.known.items() if known.uid == self.identity.uid and known.listed]
        sure = max((i for i in own if self.known[i].certain and self.known[i].whole), default=None)
        self._running().make_room()
        if sure is None:
            return
        for iteration in own:
            if iteration < sure:
                del self.known[iteration]
        if any(iteration > sure and not self.known[iteration].certain for iteration in own):
            # One whose save was cut off may be there after all, and be the one that stayed.
            self.known[sure].certain = False

    @precondition(lambda self: self.tenure is not None and self.iteration > 0)
    @rule(back=st.integers(0, 4))
    def meet_a_step_that_is_not_finite(self, back: int) -> None:
        """It ends the process; the next one, whoever it is, goes on from before that step."""
        self.before = max(1, self.iteration - back)
        self._running().order_rollback(self.before, [])
        self.former, self.tenure = self.tenure, None

    @rule()
    def restart(self) -> None:
        self._start()

    @rule(more=st.integers(1, 2))
    def next_attempt(self, more: int) -> None:
        self.identity = replace(self.identity, attempt=(self.identity.attempt or 0) + more)
        self._start()

    @rule()
    def delete_and_apply_again(self) -> None:
        self._new_uid()
        self._start()

    @rule()
    def begin_anew(self) -> None:
        """Everything that others left is moved aside. Later starts resume what this job commits."""
        self.before = None
        self._new_uid()
        self.known.clear()
        self._start(own_only=True)

    @precondition(lambda self: self.tenure is not None and self.former is not None)
    @rule(steps=st.integers(1, 3))
    def a_zombie_tries_to_save(self, steps: int) -> None:
        former = self.former
        assert former is not None
        with pytest.raises(Fenced):
            save(former, self.iteration + steps)

    def _running(self) -> Tenure:
        assert self.tenure is not None
        return self.tenure

    def _new_uid(self) -> None:
        self.uids += 1
        self.identity = replace(JOB, uid=f"uid-{self.uids}")

    def _start(self, own_only: bool = False) -> None:
        if self.tenure is not None:
            self.former, self.tenure = self.tenure, None
        ever_known = bool(self.known)
        if self.before is not None:
            self.known = {iteration: known for iteration, known in self.known.items() if iteration < self.before}
            self.before = None
        sure = [iteration for iteration, known in self.known.items() if known.certain and known.whole]
        floor = max(sure, default=None)
        found_bad = not own_only and self.folder.exists() and bool(hidden(self.folder, "bad"))
        try:
            tenure, selected = opened(self.folder, self.identity, own_only=own_only)
        except CheckpointUnusable:
            assert floor is None, f"{floor} was whole"
            assert found_bad or ever_known, "there was nothing to be damaged"
            self.begin_anew()
            return
        assert not temporary(self.folder)
        if selected is None:
            assert floor is None, f"{floor} was whole"
            assert not found_bad, "a damaged checkpoint was passed over"
            assert all(not known.certain for known in self.known.values()), "a damaged checkpoint was passed over"
        self._resumed(selected, floor)
        self.tenure = tenure

    def _resumed(self, selected: Selected | None, floor: int | None) -> None:
        """What the model learns from the checkpoint that a start selected."""
        iteration = iteration_of(selected)
        self.iteration = iteration or 0
        # A newer one was found damaged and is hidden now, or it never came to be.
        self.known = {number: replace(known, resumed=number == iteration) for number, known in self.known.items()
                      if iteration is not None and number <= iteration}  # fmt: skip
        if selected is None or iteration is None:
            return
        known = self.known.get(iteration)
        assert known is not None, f"{iteration} was never saved, or deleted"
        assert known.whole, f"{iteration} was damaged"
        assert floor is None or iteration >= floor, f"{floor} was whole"
        assert selected.manifest is not None
        assert known.uid == selected.manifest.owner_uid or not known.certain
        known.uid, known.certain = selected.manifest.owner_uid, True

    def _saved(self) -> None:
        """A save was acknowledged: of a checkpoint that was there and is whole it changes nothing."""
        before = self.known.get(self.iteration)
        if before is None or not before.whole:
            self.known[self.iteration] = Known(self.identity.uid)
        self._retain(certain=True)

    def _retain(self, certain: bool) -> None:
        """What retention deletes, or may have deleted before the process died."""
        own = sorted((iteration for iteration, known in self.known.items()
                      if known.uid == self.identity.uid and known.listed), reverse=True)  # fmt: skip
        present = [iteration for iteration in own if self.known[iteration].certain]
        for iteration in own[KEEP:]:
            if self.known[iteration].resumed:
                continue
            if certain and sum(newer > iteration for newer in present) >= KEEP:
                del self.known[iteration]
            else:
                self.known[iteration].certain = False


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=60, stateful_step_count=25, deadline=None,
                              suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])  # fmt: skip
