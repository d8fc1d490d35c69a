"""A store that is kept equal to what the API server has, whatever becomes of the watch."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from harness.timeless import LoopClock, settle

from pet_operator.domain.constants import NODE, POD, Kind
from pet_operator.runtime.nodes import Nodes
from pet_operator.runtime.ports import ApiError, Gone, Key, Listing, Manifest
from pet_operator.runtime.reflector import Reflector
from pet_operator.runtime.store import Store

JOB = Key("default", "job")


def pod(index: int, version: int) -> Manifest:
    return {"metadata": {"name": f"pod-{index}", "uid": f"uid-{index}", "resourceVersion": str(version)}}


def bookmark(version: int) -> tuple[str, Manifest]:
    return "BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version)}}


class Script:
    """An API server that plays what is written: lists, and watches of events, errors, and seconds of silence."""

    def __init__(self, lists: list[Any], watches: list[list[Any]]) -> None:
        self.limit = 100
        self.asked: list[tuple[float, str]] = []
        self._lists = iter(lists)
        self._watches = iter(watches)

    async def pages(self, kind: Kind, selector: str, fields: str = "") -> AsyncIterator[Listing]:
        self._ask("list")
        answer = next(self._lists)
        for page in answer if isinstance(answer, list) else [answer]:
            if isinstance(page, Exception):
                raise page
            yield page

    async def watch(
        self, kind: Kind, selector: str, resource_version: str, fields: str = ""
    ) -> AsyncIterator[tuple[str, Manifest]]:
        self._ask(f"watch {resource_version}")
        for step in next(self._watches, [float("inf")]):
            if isinstance(step, Exception):
                raise step
            if isinstance(step, tuple):
                yield step
            elif step == float("inf"):
                await asyncio.Event().wait()
            else:
                await asyncio.sleep(step)

    def _ask(self, what: str) -> None:
        assert len(self.asked) < self.limit, "asks without end"
        self.asked.append((asyncio.get_running_loop().time(), what))


class Play:
    """A reflector on a script, for some seconds."""

    def __init__(self, lists: list[Any], watches: list[list[Any]], without: str = "") -> None:
        self.server: Any = Script(lists, watches)
        self.told: list[Key] = []
        self.store: Store[str] = Store(lambda manifest: manifest["metadata"]["name"], lambda _: JOB, self.told.append)
        self.reflector = Reflector(self.server, POD, "a=b", self.store, LoopClock(), without=without)

    async def go(self, seconds: float = 0.0) -> None:
        task = asyncio.create_task(self.reflector.run())
        await settle()
        if seconds:
            await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def pods(self) -> list[str]:
        return sorted(self.store.of(JOB))

    def requests(self) -> list[str]:
        return [what for _, what in self.server.asked]

    def pauses(self) -> list[float]:
        times = [when for when, what in self.server.asked if what == "list"]
        return [later - earlier for earlier, later in itertools.pairwise(times)]


def listing(version: int, *indices: int) -> Listing:
    return Listing([pod(index, index + 1) for index in indices], str(version))


async def test_a_list_may_come_in_pages_and_removes_nothing_before_its_end() -> None:
    pages = [listing(9, 0), listing(9, 2)]
    play = Play([listing(5, 0, 1), [pages[0], ConnectionError("cut")], pages], [[ConnectionError("cut")]])
    await play.go()
    assert (play.pods(), play.requests()) == (["pod-0", "pod-1"], ["list", "watch 5", "list"])
    await play.go(10)
    assert play.pods() == ["pod-0", "pod-2"]


async def test_it_lists_then_watches_from_there() -> None:
    play = Play([listing(5, 0, 1)], [[("ADDED", pod(2, 6)), ("DELETED", pod(0, 7)), ("MODIFIED", pod(1, 8))]])
    assert not play.reflector.synced.is_set()
    await play.go()
    assert play.reflector.synced.is_set()
    assert play.pods() == ["pod-1", "pod-2"]
    assert play.requests()[:3] == ["list", "watch 5", "watch 8"]


async def test_a_watch_that_the_server_closes_goes_on_where_it_was_without_a_list() -> None:
    play = Play([listing(5, 0)], [[bookmark(60)], [], [bookmark(70)]])
    await play.go(2)
    assert play.requests() == ["list", "watch 5", "watch 60", "watch 60", "watch 70"]


async def test_since_when_nothing_was_missed_is_known() -> None:
    play = Play(
        [listing(5), listing(6), ConnectionError("away"), listing(7)], [[10, Gone("too old")], [5, bookmark(9)]]
    )
    assert play.store.since is None
    await play.go(9)
    assert play.store.since == 0.0
    play = Play([listing(5), ConnectionError("away"), listing(7)], [[10, ConnectionError("away")], [bookmark(9), 9]])
    await play.go(10.2)  # before the shortest pause is over
    assert play.store.since is None
    play = Play([listing(5), listing(6)], [[10, Gone("too old")], [bookmark(9), 9]])
    await play.go(11)
    assert (play.store.since or 0) >= 10


async def test_a_bookmark_is_no_object() -> None:
    play = Play([listing(5, 0)], [[bookmark(60)]])
    await play.go()
    assert (play.pods(), len(play.told)) == (["pod-0"], 1)


@pytest.mark.parametrize("before", [[], [("MODIFIED", pod(0, 8))]], ids=["at once", "in the middle"])
async def test_after_410_it_lists_again_and_tells_of_what_was_deleted_meanwhile(before: list[Any]) -> None:
    play = Play([listing(5, *range(5)), listing(9, 0, 2, 4)], [[*before, Gone("too old")]])
    await play.go(2)
    assert play.pods() == ["pod-0", "pod-2", "pod-4"]
    assert play.requests() == ["list", "watch 5", "list", "watch 9"]
    assert len(play.told) == 7
    assert not play.reflector.failing


async def test_a_watch_that_is_closed_at_once_again_and_again_is_no_endless_loop_either() -> None:
    play = Play([listing(5, 0)], [[]] * 99)
    await play.go(60)
    assert len(play.requests()) < 12


async def test_410_again_and_again_is_no_endless_loop_of_lists() -> None:
    play = Play([listing(5, 0)] * 100, [[Gone("too old")]] * 100)
    await play.go(60)
    assert len(play.pauses()) < 12


@pytest.mark.parametrize("error", [ConnectionError("reset"), ApiError(500, "Internal", "no"), TimeoutError()])
async def test_a_watch_that_breaks_is_begun_again_by_a_list(error: Exception) -> None:
    play = Play([listing(5, 0, 1), listing(9, 0)], [[("ADDED", pod(2, 6)), error], [bookmark(10), 5.0]])
    await play.go(2)
    assert play.pods() == ["pod-0"]
    assert play.requests() == ["list", "watch 5", "list", "watch 9"]
    assert not play.reflector.failing


async def test_an_api_server_that_is_away_is_asked_ever_less_often() -> None:
    play = Play([ConnectionError("refused")] * 2000, [])
    await play.go(100)
    assert play.reflector.failing
    assert not play.reflector.synced.is_set()
    for pause, expected in zip(play.pauses(), [0, 0.5, 1, 2, 4, 8, 15, 15], strict=False):
        assert 0.75 * expected <= pause <= 1.25 * expected + 1e-6


async def test_an_api_server_that_is_overloaded_is_left_alone_for_as_long_as_it_says() -> None:
    play = Play([ApiError(429, "TooManyRequests", "later", 7.0)] * 3 + [listing(5, 0)], [])
    await play.go(100)
    assert play.pods() == ["pod-0"]
    assert min(play.pauses()) >= 7


async def test_an_api_server_may_be_away_for_days() -> None:
    play = Play([ConnectionError("refused")] * 1999 + [listing(5, 0)], [])
    play.server.limit = 3000
    await play.go(100_000)
    assert play.pods() == ["pod-0"]


async def test_a_watch_that_works_between_its_faults_is_begun_again_soon_each_time() -> None:
    """A proxy that cuts every connection after some minutes, say."""
    play = Play([listing(5, 0)] * 20, [[100.0, bookmark(9), ConnectionError("cut")]] * 20)
    await play.go(1500)
    assert len(play.pauses()) >= 10
    assert max(play.pauses()) < 101


async def test_a_list_that_works_and_a_watch_that_never_does_is_tried_ever_less_often() -> None:
    play = Play([listing(5, 0)] * 99, [[ConnectionError("cut")]] * 99)
    await play.go(100)
    assert len(play.pauses()) < 15
    assert play.reflector.failing


FORBIDDEN = ApiError(403, "Forbidden", "no")


async def test_what_it_may_not_see_is_waited_for_unless_it_can_be_done_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    needed = Play([FORBIDDEN] * 5, [])
    await needed.go(5)
    assert not needed.reflector.synced.is_set()
    caplog.clear()

    play = Play([FORBIDDEN] * 3 + [listing(5, 0)], [], without="go on so")
    await play.go(1)
    assert play.reflector.synced.is_set()
    assert caplog.messages == ["cannot watch pods: 403 Forbidden: no; go on so"], "once"
    await play.go(60)
    assert play.pods() == ["pod-0"], "the right has come"


async def test_what_was_seen_before_the_right_to_see_it_was_taken_is_not_believed_any_more() -> None:
    unready = {"metadata": {"name": "a", "uid": "uid-of-a", "resourceVersion": "1"}}
    server: Any = Script([Listing([unready], "5"), *[FORBIDDEN] * 9], [[10, ConnectionError("cut")]])
    nodes = Nodes(LoopClock(), lambda name: None)
    task = asyncio.create_task(Reflector(server, NODE, "", nodes, LoopClock(), without="go on so").run())
    await asyncio.sleep(9)
    assert nodes.of("a") is not None
    await asyncio.sleep(9)
    assert nodes.of("a") is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_error_alone_is_no_reason_to_do_without() -> None:
    play = Play([OSError("away")] * 5, [], without="go on so")
    await play.go(5)
    assert not play.reflector.synced.is_set()


async def test_the_last_contact_is_known() -> None:
    play = Play([listing(5, 0)], [[30.0, bookmark(9), 30.0]])
    await play.go(50)
    assert play.reflector.last_contact == 30


async def test_what_is_no_fault_of_the_server_ends_it() -> None:
    play = Play([ZeroDivisionError()], [])
    with pytest.raises(ZeroDivisionError):
        await play.reflector.run()


async def test_a_watch_that_was_quiet_to_its_end_is_followed_by_the_next_at_once() -> None:
    play = Play([listing(5, 0)], [[55.0]] * 3 + [[bookmark(9), 1.0]])
    await play.go(165.5)
    assert play.requests() == ["list", "watch 5", "watch 5", "watch 5", "watch 5"]
    assert (play.store.since, play.pauses()) == (0.0, [])
