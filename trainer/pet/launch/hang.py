"""The end of a hang: whose fault it is, over all nodes, with the stacks of the ranks' threads; then all ranks die.

One launcher finds it, and asks all others: each has its ranks write their stacks, tells how far the lowest of them is,
and ends them. The ranks that are the lowest of the job are the cause; the others only waited. Nodes that are cut off
from one another cannot compare: each ends its own and says who did not answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pet.launch.peers import Claim, Peers
from pet.launch.process_state import STOPPED, state_of, words_for
from pet.launch.ranks import RankGroup
from pet.launch.watchdog import Stall, Watchdog
from pet.runfiles.exits import ExitCode
from pet.runfiles.failure import Failure
from pet.runfiles.heartbeat import Heartbeat
from pet.runfiles.place import Place
from pet.runfiles.stacks import Stacks

# For the stacks to be written, and the other launchers to answer.
_DUMP_SECONDS = 2.0
# For them to know whom they will name, from when this one knows.
_SETTLE_SECONDS = 2.0
_WAKE_SECONDS = 0.3
# A rank that has failed comes before all others: however far it is, it is in what hooks do at the end.
_LEAVING: Place = (-2, -2, -2)
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class _Scene:
    """What was found of the running ranks."""

    beats: Mapping[int, Heartbeat | None]
    stacks: Mapping[int, Stacks]
    states: Mapping[int, str]


def end_hang(watchdog: Watchdog, group: RankGroup, peers: Peers, *, others_ended: bool) -> bool:
    """Look once; whether there was a hang, and the ranks were killed for it."""
    beats = group.heartbeats()
    stall = watchdog.look(beats, others_ended=others_ended)
    if stall is not None:
        peers.suspect()
    elif peers.suspected:
        stall = watchdog.lowest(beats)
    if stall is None:
        return False
    scene = _Scene(beats, group.ask_stacks(), {rank: state_of(group.pids[rank]) for rank in group.running})
    stopped = tuple(rank for rank in stall.ranks if scene.states[rank] == STOPPED)
    told = group.told()
    # Of ranks that are equally far it is those that others wait for: they come before.
    claim = (*(_LEAVING if told else stall.place), 0 if stopped else 1)
    places = _wait(peers, claim)
    if (now := watchdog.lowest(group.heartbeats())) is None or now.place != stall.place:
        return False  # they go on after all
    _wake(group, scene)
    if all(claim <= place for place in places.values()):
        stall = replace(stall, ranks=stopped or stall.ranks)
        mute = [node for node in peers.others if node not in places]
        group.condemn(told or {rank: _account(group, scene, rank, stall, mute) for rank in stall.ranks})
        watchdog.excuse(beats, stall)
    if not stopped:  # what was woken must not run on
        # The end of one rank ends those that wait with it, which would then have only lost a peer.
        peers.settle(len(places), _SETTLE_SECONDS)
    group.kill()
    return True


def _wait(peers: Peers, claim: Claim) -> dict[int, Claim]:
    deadline = time.monotonic() + _DUMP_SECONDS
    places = peers.compare(claim)
    while time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        places = peers.compare(claim) or places
    return places


def _wake(group: RankGroup, scene: _Scene) -> None:
    """A stopped rank writes its stacks in the moment in which it may run again."""
    stopped = [rank for rank, state in scene.states.items() if state == STOPPED and scene.stacks[rank].offered]
    for rank in stopped:
        group.wake(rank)
    if stopped:
        time.sleep(_WAKE_SECONDS)


def _account(group: RankGroup, scene: _Scene, local_rank: int, stall: Stall, mute: Sequence[int]) -> Failure:
    """`mute`: nodes whose launchers did not say how far their ranks are. It may be one of those that is waited for."""
    beat = scene.beats[local_rank]
    stacks = scene.stacks[local_rank].text()
    doing = "before its first sign of life" if beat is None else f"in {beat.section.name.lower()}"
    where = f"{doing} after iteration {beat.iteration}" if beat is not None and beat.steps else doing
    ranks = ", ".join(str(group.ranks[rank]) for rank in stall.ranks)
    notes = (
        words_for(scene.states[local_rank]),
        f"ranks {ranks} are at the same place" if len(stall.ranks) > 1 else "",
        "" if stacks else "it wrote no stacks",
        f"no answer from the launcher of node {', '.join(map(str, mute))}" if mute else "",
    )
    return Failure.seen(
        ExitCode.HANG,
        ExitCode.HANG.exit_class,
        "; ".join([f"{stall.why} {where}", *filter(None, notes)]),
        rank=group.ranks[local_rank],
        heartbeat=beat,
        traceback=stacks,
    )
