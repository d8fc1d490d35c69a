"""A checkpoint folder that is damaged at random, by a seed, and what a start must make of it."""

from __future__ import annotations

import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

from harness.corruption import DAMAGES
from harness.stores import iteration_of, old_checkpoint, opened, overwrite, save
from pet.store.errors import CheckpointUnusable

ITERATIONS = (10, 20, 30)
BEST = "model_epoch1-80.00.pth"
_FILE_KINDS = ("flipped bit", "truncated", "page of zeros", "grown", "empty", "missing")


def check(seed: int, path: Path) -> str:
    """Damage a folder and start in it, twice. Returns what was tried and how it ended; raises AssertionError."""
    dice = random.Random(seed)
    name = dice.choice(sorted(_SCENARIOS))
    return f"{name}: {_SCENARIOS[name](path, dice)}"


def _prepared(path: Path) -> None:
    tenure, _ = opened(path)
    for iteration in ITERATIONS:
        save(tenure, iteration)
    save(tenure, 25, BEST, link=False)


def _started(path: Path) -> int | None:
    """The iteration that a start selects; -1 if it stops, None for a fresh start. A second start does the same."""
    found: list[int | None] = []
    for _ in range(2):
        try:
            found.append(iteration_of(opened(path)[1]))
        except CheckpointUnusable:
            found.append(-1)
    assert found[0] == found[1], f"first {found[0]}, then {found[1]}"
    return found[0]


def _expect(path: Path, whole: set[int]) -> str:
    iteration = _started(path)
    assert iteration == max(whole, default=-1), f"{iteration} of the whole {sorted(whole)}"
    if whole:
        assert (path / "model_latest.pth").samefile(path / f"model_iter{iteration}.pth")
    return str(iteration)


def _file(iteration: int) -> str:
    return f"model_iter{iteration}.pth"


def _damaged(path: Path, dice: random.Random, times: int) -> set[int]:
    """Damage checkpoints so often; the iterations that are whole in the end."""
    touched: set[int] = set()
    for _ in range(times):
        target, other = dice.sample(ITERATIONS, 2)
        kind = dice.choice(sorted(DAMAGES))
        if touched and ("another" in kind or "swapped" in kind):
            continue  # a second damage of this kind could put back what the first one took
        try:
            DAMAGES[kind](path, _file(target), _file(other), dice.random() < 0.5, dice)
        except (FileNotFoundError, ValueError):
            continue
        touched |= {target, other} if kind == "swapped pairs" else {target}
    return set(ITERATIONS) - touched


def _one(path: Path, dice: random.Random) -> str:
    _prepared(path)
    return _expect(path, _damaged(path, dice, 1))


def _several(path: Path, dice: random.Random) -> str:
    _prepared(path)
    return _expect(path, _damaged(path, dice, dice.randrange(2, 7)))


def _only_bad_ones(path: Path, dice: random.Random) -> str:
    _prepared(path)
    for iteration in ITERATIONS:
        kind = dice.choice(("flipped bit", "truncated", "page of zeros", "grown", "empty"))
        DAMAGES[kind](path, _file(iteration), "", dice.random() < 0.5, dice)
    return _expect(path, set())


def _through_the_link(path: Path, dice: random.Random) -> str:
    """An old tool writes into `model_latest.pth` in place: it is the newest checkpoint's own file."""
    _prepared(path)
    target = path / "model_latest.pth"
    data = bytearray(target.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    overwrite(target, bytes(data))
    return _expect(path, {10, 20})


def _best_model(path: Path, dice: random.Random) -> str:
    _prepared(path)
    DAMAGES[dice.choice(_FILE_KINDS)](path, BEST, "", dice.random() < 0.5, dice)
    return _expect(path, set(ITERATIONS))


def _lost_manifests(path: Path, dice: random.Random) -> str:
    """What is left is the link, or not even that: then it is no checkpoint that was lost, but a fresh folder."""
    _prepared(path)
    for iteration in ITERATIONS:
        (path / f"model_iter{iteration}.manifest.json").unlink()
    if dice.random() < 0.5:
        return _expect(path, set())
    (path / "model_latest.pth").unlink()
    assert _started(path) is None
    return "fresh"


def _owner(path: Path, dice: random.Random) -> str:
    _prepared(path)
    before = (path / "OWNER").read_bytes()
    if dice.random() < 0.2:
        (path / "OWNER").unlink()
        return _expect(path, set(ITERATIONS))
    data = bytearray(before)
    data[dice.randrange(len(data) - 1)] ^= 1 << dice.randrange(8)
    overwrite(path / "OWNER", bytes(data))
    assert _started(path) == -1
    return "stopped"


def _legacy(path: Path, dice: random.Random) -> str:
    """An older Pet's file, damaged before a first start, or after one that died before its first commit."""
    path.mkdir()
    target, content = path / "model_latest.pth", os.urandom(2000)
    old_checkpoint(target, content)
    begun = dice.random() < 0.5
    if begun:
        opened(path)
    data = bytearray(target.read_bytes())
    place = dice.randrange(len(data))
    data[place] ^= 1 << dice.randrange(8)
    target.write_bytes(bytes(data))
    try:
        _, selected = opened(path)
    except CheckpointUnusable:
        return "stopped"
    assert not begun, "the recorded bytes are others"
    assert selected is not None
    with zipfile.ZipFile(selected.path) as archive:  # a flip in what no reader looks at
        assert archive.read("archive/data.pkl") == content
    return "harmless"


_SCENARIOS: dict[str, Callable[[Path, random.Random], str]] = {
    "one": _one,
    "several": _several,
    "only bad ones": _only_bad_ones,
    "through the link": _through_the_link,
    "best model": _best_model,
    "lost manifests": _lost_manifests,
    "owner": _owner,
    "legacy": _legacy,
}
