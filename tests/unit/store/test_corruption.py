"""Damaged checkpoint folders: the newest checkpoint that is whole is found, or the run stops. Never other bytes."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from harness.corruption import DAMAGES
from harness.stores import iteration_of, opened, save

from pet.store.errors import CheckpointUnusable
from pet.store.manifest import Manifest

SEEDS = range(12)


def _prepared(path: Path) -> dict[int, Manifest]:
    tenure, _ = opened(path)
    return {iteration: save(tenure, iteration, link=False) for iteration in (10, 20, 30)}


def _file(iteration: int) -> str:
    return f"model_iter{iteration}.pth"


@pytest.mark.parametrize("manifest", [False, True], ids=["data", "manifest"])
@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_of_the_newest_falls_back_to_the_one_before(memory_path: Path, kind: str, manifest: bool) -> None:
    saved = _prepared(memory_path / "prepared")
    for seed in SEEDS:
        folder = memory_path / str(seed)
        shutil.copytree(memory_path / "prepared", folder)
        DAMAGES[kind](folder, _file(30), _file(10), manifest, random.Random(f"{kind} {seed}"))
        # Two whole pairs under each other's names are both lost; 20 is what is left in any case.
        _, selected = opened(folder)
        assert iteration_of(selected) == 20, f"seed {seed}"
        assert selected is not None
        assert selected.manifest == saved[20]


@pytest.mark.parametrize("manifest", [False, True], ids=["data", "manifest"])
@pytest.mark.parametrize("kind", sorted(set(DAMAGES) - {"missing", "swapped pairs"}))
def test_damage_of_all_stops_the_run(memory_path: Path, kind: str, manifest: bool) -> None:
    saved = _prepared(memory_path / "prepared")
    for seed in SEEDS:
        folder = memory_path / str(seed)
        shutil.copytree(memory_path / "prepared", folder)
        chance = random.Random(f"{kind} {seed}")
        for iteration in saved:
            # Each by a whole checkpoint of the untouched folder that is another one.
            other = _file(20 if iteration == 10 else 10)
            DAMAGES[kind](folder, _file(iteration), f"../prepared/{other}", manifest, chance)
        with pytest.raises(CheckpointUnusable):
            opened(folder)


def test_random_damage_of_any_number_of_files_never_gives_other_bytes(memory_path: Path) -> None:
    saved = _prepared(memory_path / "prepared")
    outcomes = set()
    for seed in range(150):
        folder = memory_path / str(seed)
        shutil.copytree(memory_path / "prepared", folder)
        chance = random.Random(seed)
        touched = set()
        for _ in range(chance.randrange(1, 6)):
            file, other = (_file(iteration) for iteration in chance.sample(sorted(saved), 2))
            kind = chance.choice(sorted(DAMAGES))
            try:
                DAMAGES[kind](folder, file, other, chance.random() < 0.5, chance)
            except (FileNotFoundError, ValueError):
                continue  # a file that this needs is gone or too short already
            touched |= {file, other} if kind == "swapped pairs" else {file}
        whole = [iteration for iteration in saved if _file(iteration) not in touched]
        try:
            iteration = iteration_of(opened(folder)[1])
        except CheckpointUnusable:
            iteration = -1
        outcomes.add(iteration)
        if whole:
            assert iteration is not None, f"seed {seed}"
            assert iteration >= max(whole), f"seed {seed}"
    assert {-1, 10, 20} <= outcomes
