"""What launchers tell one another through a store that one of them takes away with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from harness.peers import DictStore

from pet.launch.peers import Peers
from pet.launch.verdict import Verdict
from pet.runfiles.exits import ExitCode

NEVER = 3600.0  # seconds: nothing here may wait until they are over
FINISHED = Verdict.plain(ExitCode.SUCCEEDED, "all ranks finished")


def test_a_store_that_is_gone_is_asked_once_and_not_waited_for() -> None:
    store = DictStore()
    peers = Peers(store, node=1, nodes=2)
    store.gone = True
    peers.publish(FINISHED, restarts=False)
    peers.wait(NEVER, until=lambda: False)
    peers.leave(NEVER)
    assert (peers.reports(), store.calls) == ([], 1)


def test_what_was_told_before_the_store_went_is_kept() -> None:
    store = DictStore()
    peers = Peers(store, node=1, nodes=2)
    Peers(store, node=0, nodes=2).publish(FINISHED, restarts=False)
    assert peers.complete
    store.gone = True
    assert [report.node for report in peers.reports()] == [0]


def test_node_0_leaves_when_the_others_have_read_not_when_they_have_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store = DictStore()
    host, other = (Peers(store, node, nodes=2) for node in (0, 1))
    for peers in (host, other):
        peers.publish(FINISHED, restarts=False)
    assert host.complete, "all that node 0 itself wants to know"
    naps: list[Callable[[], None]] = [lambda: None, lambda: other.leave(0.0)]
    monkeypatch.setattr("pet.launch.peers.time.sleep", lambda seconds: naps.pop(0)())
    host.leave(NEVER)
    assert naps == []


def test_node_0_does_not_wait_for_ever_for_one_that_does_not_leave() -> None:
    store = DictStore()
    Peers(store, node=0, nodes=2).leave(0.0)
    assert store.calls > 0, "it asked whether the other has left, and went"


def test_the_only_node_waits_for_nobody() -> None:
    store = DictStore()
    Peers(store, node=0, nodes=1).leave(NEVER)
    assert store.calls == 0


def test_who_suspects_a_hang_hears_how_far_the_others_are() -> None:
    store = DictStore()
    first, second, third = (Peers(store, node, nodes=3) for node in range(3))
    assert not second.suspected
    first.suspect()
    assert first.compare((3, 9, 4)) == {}
    assert second.suspected
    assert second.compare((2, 9, 4)) == {0: (3, 9, 4)}
    assert not second.suspected, "it has answered"
    assert third.compare((3, 8, 4)) == {0: (3, 9, 4), 1: (2, 9, 4)}
    assert first.compare((3, 9, 4)) == {1: (2, 9, 4), 2: (3, 8, 4)}


def test_an_answer_to_an_earlier_suspicion_is_none() -> None:
    store = DictStore()
    first, second = (Peers(store, node, nodes=2) for node in range(2))
    first.suspect()
    second.compare((2, 9, 4))
    assert first.compare((3, 9, 4)) == {1: (2, 9, 4)}
    first.suspect()
    assert first.compare((5, 12, 4)) == {}
    assert second.compare((7, 14, 4)) == {0: (5, 12, 4)}


def test_suspicions_at_the_same_time_become_one() -> None:
    store = DictStore()
    first, second = (Peers(store, node, nodes=2) for node in range(2))
    first.suspect()
    first.compare((3, 9, 4))
    second.suspect()
    assert second.compare((2, 9, 4)) == {}
    assert first.compare((3, 9, 4)) == {1: (2, 9, 4)}
    assert second.compare((2, 9, 4)) == {0: (3, 9, 4)}


def test_who_knows_what_it_will_tell_waits_for_those_that_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    store = DictStore()
    first, second, third = (Peers(store, node, nodes=3) for node in range(3))
    first.suspect()
    for peers in (first, second, third):
        peers.compare((3, 9, 4))
    naps: list[Callable[[], None]] = [lambda: None, lambda: second.settle(1, 0.0)]
    monkeypatch.setattr("pet.launch.peers.time.sleep", lambda seconds: naps.pop(0)())
    first.settle(1, NEVER)
    assert naps == []


def test_alone_nobody_is_asked() -> None:
    store = DictStore()
    peers = Peers(store, node=0, nodes=1)
    peers.settle(0, NEVER)
    assert (peers.suspected, peers.compare((1, 1, 1)), store.calls) == (False, {}, 0)


@pytest.fixture
def cut_off() -> Iterator[DictStore]:
    """A store whose answers do not arrive until `answers` is set."""
    store = DictStore()
    yield store
    store.answers.set()


def test_a_store_that_does_not_answer_is_waited_for_once_and_hears_later_what_there_was_to_tell(
    cut_off: DictStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pet.launch.peers._ANSWER_SECONDS", 0.01)
    peers = Peers(cut_off, node=1, nodes=2)
    cut_off.answers.clear()
    assert peers.reports() == []
    assert (peers.reports(), peers.suspected, peers.compare((1, 1, 1))) == ([], False, {})
    peers.publish(FINISHED, restarts=False)
    assert cut_off.calls == 1, "no more questions, and what there is to tell waits in its turn"
    cut_off.answers.set()
    host = Peers(cut_off, node=0, nodes=2)
    host.wait(NEVER, until=lambda: False)
    assert [report.node for report in host.reports()] == [1]
