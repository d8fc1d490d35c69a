"""What a long training takes of its machine, and what it tells of its time: looked at all along, judged in the end."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.gang import Gang

_RSS_MIB = 48.0  # between two looks at one process that does the same: garbage, caches, a reply under way
_DESCRIPTORS = 12  # likewise
_FEWEST = 100  # looks: who dies younger is still taking what it needs in any case
_MIB = 2**20
TRAINING = ("training", "saving", "evaluating")  # states


@dataclass(frozen=True)
class Look:
    """At one moment of a launcher with ranks that train."""

    rss_mib: float
    descriptors: int


@dataclass
class Life:
    """Of the first rank of one start: how old it was when it told of its seconds last, and what it told."""

    begun: float
    age: float = 0.0
    accounting: dict[str, float] = field(default_factory=dict)


@dataclass
class Vitals:
    """Over all launchers of a training whose checkpoints lie in `folder`."""

    folder: Path
    looks: dict[int, list[Look]] = field(default_factory=dict)  # by process, of launchers and ranks
    lives: dict[int, Life] = field(default_factory=dict)  # by process
    most: dict[str, int] = field(default_factory=dict)  # bytes by file, when checkpoints took most

    def look(self, made: Gang) -> dict[str, Any] | None:
        """Once, at a training on one node; its status, None while there is none."""
        files = {path.name: _size(path) for path in self.folder.glob("model_iter*")}
        self.most = max(self.most, files, key=lambda sizes: sum(sizes.values()))
        (node,) = made.nodes
        try:
            status, ranks = node.status(), node.ranks()
            if status["state"] == "training":  # an evaluation holds more, for as long as it lasts
                for pid in (node.process.pid, *ranks.values()):
                    self.looks.setdefault(pid, []).append(_look(pid))
        except OSError:
            return None
        if 0 in ranks and status["accounting"]:
            life = self.lives.setdefault(ranks[0], Life(_begun(ranks[0])))
            if status["accounting"] != life.accounting:
                life.age, life.accounting = time.clock_gettime(time.CLOCK_BOOTTIME) - life.begun, status["accounting"]
        return status

    def check_flat(self, checkpoints: int) -> str:
        """Nothing grows with time, and there is room for so many checkpoints and three: the one that was gone on from,
        one that is written, and one whose writer died before it had deleted older ones. What a process does for the
        first time may take memory, so a third of its life is left out, and processes that died young."""
        lives = {pid: looks for pid, looks in self.looks.items() if len(looks) >= _FEWEST}
        assert lives, "no process lived long enough to be judged"
        grown = {pid: (looks[len(looks) // 3], looks[-1]) for pid, looks in lives.items()}
        for pid, (first, last) in grown.items():
            told = f"process {pid}, of {len(lives[pid])} looks: {first}, {last}"
            assert last.rss_mib - first.rss_mib < _RSS_MIB, told
            assert last.descriptors - first.descriptors < _DESCRIPTORS, told
        one = max(map(_size, self.folder.glob("model_iter*.pth")))
        most = sum(self.most.values())
        assert most < (checkpoints + 3) * one + _MIB, self.most
        memory = max(last.rss_mib - first.rss_mib for first, last in grown.values())
        descriptors = max(last.descriptors - first.descriptors for first, last in grown.values())
        return (f"{len(grown)} of {len(self.looks)} processes: one grew by {memory:.1f} MiB, one by {descriptors} "
                f"descriptors; checkpoints took at most {most / one:.1f} times the size of one")  # fmt: skip

    def check_accounts(self) -> str:
        """No second is told twice. Missing are imports, which come before a rank's first clock, hooks, and the window
        under way."""
        for life in self.lives.values():
            told = sum(life.accounting.values())
            assert told <= life.age + 0.5, (told, life)
        age = sum(life.age for life in self.lives.values())
        kinds = sorted({kind for life in self.lives.values() for kind in life.accounting})
        parts = {kind: sum(life.accounting.get(kind, 0.0) for life in self.lives.values()) / age for kind in kinds}
        return f"of {age:.0f} s of ranks: " + ", ".join(f"{kind} {part:.0%}" for kind, part in parts.items())


def _look(pid: int) -> Look:
    words = Path(f"/proc/{pid}/statm").read_text().split()
    return Look(int(words[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB, len(os.listdir(f"/proc/{pid}/fd")))


def _begun(pid: int) -> float:
    """When a process was started, in seconds since the boot."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
