"""Two machines of a real training that are cut off from each other, and all that must hold then. Used with one case and
with many.

A case is checked by this module as a program of its own, in a network where it may drop packets.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.beside import run_beside
from harness.gang import Gang, gang, left_behind
from harness.interruptions import check_end
from harness.launcher import eventually
from harness.network import Network
from harness.training import TIMEOUT, Training

RANKS, NODES = 2, 2
STALL_SECONDS = 5  # the job's own limit
_HANG, _LOST = 76, 75
_LOOKED_AT = 5.0  # seconds that a launcher may take beyond its limit
_TIMES = 10  # that on a busy machine
_RATHER_LONG = 60  # seconds: a limit that no short partition reaches
_MEETING_SECONDS = 20  # how long launchers wait for each other that do not meet again


@dataclass(frozen=True)
class Partition:
    """From step `step` on what one node sends to the other is lost, for each of `ways`.

    `kind`: short (over before a limit is), long (until both have given their ranks up), restart (begins as they start
    their ranks again, and takes `seconds`), final (until both have ended).
    """

    kind: str
    ways: tuple[tuple[int, int], ...]
    step: int
    rank: int  # that is killed for a restart
    seconds: float

    def __str__(self) -> str:
        ways = "-and-".join(f"{sender}-to-{receiver}" for sender, receiver in self.ways)
        killed = f"-of-rank-{self.rank}-for-{self.seconds:.1f}" if self.kind == "restart" else ""
        return f"{self.kind}{killed}-from-{ways}-at-{self.step}"


_WAYS = (((0, 1), (1, 0)), ((0, 1),), ((1, 0),))
_KINDS = ("long", "short", "restart", "long", "final")


def partitions(seed: int, number: int) -> list[Partition]:
    """Every kind by turns; half of them in both directions."""
    dice = random.Random(seed)
    return [
        Partition(
            kind=_KINDS[index % len(_KINDS)],
            ways=dice.choices(_WAYS, (2, 1, 1))[0],
            # The first steps may take minutes. In the last the end may be nearer than the partition.
            step=dice.randint(4, Training.steps - 15),
            rank=dice.randrange(RANKS),
            seconds=dice.uniform(0.5, 10.0),
        )
        for index in range(number)
    ]


def check(case: Partition, folder: Path, data: Path, expected: Training) -> None:
    """Neither half trains on, nobody is blamed, and the training ends as if all had been well."""
    folders = [str(path) for path in (folder, data, expected.folder)]
    print(run_beside("net", "harness.partitions", json.dumps(asdict(case)), *folders, seconds=4 * TIMEOUT))


def _check(case: Partition, training: Training, expected: Training) -> None:
    limit = _RATHER_LONG if case.kind == "short" else STALL_SECONDS
    training.environ = {"PETJOB_STALL_SECONDS": str(limit)}
    if case.kind == "final":
        training.environ["PETJOB_STARTUP_SECONDS"] = str(_MEETING_SECONDS)
    with Network(NODES) as network:
        with gang(training, NODES, network=network) as made:
            try:
                eventually(lambda: len(training.steps_done) >= case.step - 1, f"step {case.step} begins")
                _KINDS_CHECKED[case.kind](case, made, network)
            finally:
                print(made.output)
            assert left_behind(*made.messages) == []
            assert made.free_port()
        if case.kind == "final":
            network.heal()
            with gang(training, NODES, attempt=2, network=network) as again:
                assert again.wait() == [0] * NODES, again.output
    check_end(training, expected)
    if case.kind == "short":
        assert training.steps_done == list(range(1, expected.steps + 1)), "training went on where it was"


def _check_short(case: Partition, made: Gang, network: Network) -> None:
    """It is waited for."""
    network.cut(*case.ways)
    eventually(lambda: all(_silence(made, node) > 1.0 for node in range(NODES)), "both hear nothing")
    network.heal()
    _goes_on(made, restarts=0)
    assert made.hear() == []


def _check_long(case: Partition, made: Gang, network: Network) -> None:
    """Each half ends its ranks, and they start together when they meet again."""
    network.cut(*case.ways)
    cut_at = time.monotonic()
    _both_give_up(made)
    print(f"both halves had ended {time.monotonic() - cut_at:.1f} s after they were cut off")
    assert made.ranks() == {}, "no half goes on alone"
    network.heal()
    _goes_on(made, restarts=1)


def _check_final(case: Partition, made: Gang, network: Network) -> None:
    """They do not meet in time: both tell what was the matter, and end. The next attempt goes on."""
    network.cut(*case.ways)
    _both_give_up(made)
    assert made.wait() == [_HANG] * NODES
    for node in made.nodes:
        assert node.termination["class"] == "Hang"
        assert node.termination["rank"] == node.index
        assert _no_answer(1 - node.index) in node.termination["message"]


def _check_restart(case: Partition, made: Gang, network: Network) -> None:
    """The dead rank is the cause; a rank that was left without news for too long says so."""
    os.kill(made.ranks()[case.rank], signal.SIGKILL)
    eventually(lambda: any(node.status()["state"] == "restarting" for node in made.nodes), "a node starts again")
    network.cut(*case.ways)
    time.sleep(case.seconds)
    network.heal()
    _goes_on(made, restarts=1)
    crashed, other = made.nodes[case.rank].seen, made.nodes[1 - case.rank].seen
    assert [(failure["type"], failure["rank"]) for failure in crashed] == [("SIGKILL", case.rank)]
    for failure in other:
        assert failure["class"] == "PeerLost" or _no_answer(case.rank) in failure["message"]


_KINDS_CHECKED: dict[str, Callable[[Partition, Gang, Network], None]] = {
    "short": _check_short, "long": _check_long, "final": _check_final, "restart": _check_restart,
}  # fmt: skip


def _both_give_up(made: Gang) -> None:
    """Within their limit, each by itself; each says of its own rank that it heard nothing, and of whom."""
    seconds = _TIMES * (STALL_SECONDS + _LOOKED_AT)
    eventually(lambda: made.hear() and all(node.seen for node in made.nodes), "both end their ranks", seconds)
    for node in made.nodes:
        (failure,) = node.seen
        assert (failure["class"], failure["rank"]) == ("Hang", node.index)
        assert failure["message"].startswith(f"silent for {STALL_SECONDS} s"), failure["message"]
        assert _no_answer(1 - node.index) in failure["message"]


def _no_answer(node: int) -> str:
    return f"no answer from the launcher of node {node}"


def _goes_on(made: Gang, restarts: int) -> None:
    """All launchers start their ranks again so often, and finish."""
    told: list[set[int]] = [set() for _ in made.nodes]

    def over() -> bool:
        for node, numbers in zip(made.nodes, told, strict=True):
            try:
                numbers.add(node.status()["restarts"])
            except OSError:
                continue
        return made.over

    eventually(over, "all launchers end", TIMEOUT)
    assert made.wait() == [0] * NODES
    assert [max(numbers) for numbers in told] == [restarts] * NODES


def _silence(made: Gang, node: int) -> float:
    return min((rank["silentSeconds"] for rank in made.nodes[node].status()["ranks"]), default=0.0)


def main(case: str, folder: str, data: str, expected: str) -> None:
    """Check one case. Raises AssertionError."""
    values = json.loads(case)
    values["ways"] = tuple(map(tuple, values["ways"]))
    trainings = [Training(Path(path), Path(data), ranks=RANKS) for path in (folder, expected)]
    _check(Partition(**values), *trainings)


if __name__ == "__main__":
    main(*sys.argv[1:])
