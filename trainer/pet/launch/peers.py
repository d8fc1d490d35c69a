"""What the launchers of one job tell one another: how the ranks of each node ended.

It goes through the store of the rendezvous, under the prefix of the round: a report of an earlier start of ranks cannot
be read as one of this start. The store lives in the launcher of node 0, which therefore leaves last; once it is gone
there is no more news, and nobody asks again. While the network keeps its answers back there is no news either.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol, TypeVar

from pet.launch.line import Line
from pet.launch.verdict import Verdict, in_words
from pet.runfiles.exits import ExitCode

_POLL_SECONDS = 0.1
_ANSWER_SECONDS = 1.0
_COUNT = "pet/ends"
_LEFT = "pet/left"
_SUSPICIONS = "pet/suspicions"
_HOST = 0  # the node whose launcher has the store
_T = TypeVar("_T")
# How far the lowest rank of a node is, as numbers to be compared from the first on: its place, and what else tells.
Claim = tuple[int, ...]


class Store(Protocol):
    """The part of torch's store that is used here."""

    def set(self, key: str, value: str, /) -> None:
        """Store a value."""

    def get(self, key: str, /) -> bytes:
        """Wait for a value."""

    def check(self, keys: list[str], /) -> bool:
        """Whether all keys have a value."""

    def add(self, key: str, amount: int, /) -> int:
        """Add to a number that begins with 0, and return the sum."""


@dataclass(frozen=True)
class Report:
    """How the ranks of one node ended. `restarts`: its launcher is about to start them again."""

    node: int
    code: int
    rank: int | None
    type: str
    message: str
    restarts: bool

    @property
    def exit_code(self) -> ExitCode:
        """The class of the end."""
        return ExitCode(self.code)

    @property
    def explains(self) -> bool:
        """Whether it says why a peer was lost."""
        return self.exit_code not in (ExitCode.SUCCEEDED, ExitCode.PEER_LOST)

    def __str__(self) -> str:
        who = f"rank {self.rank} on node {self.node}" if self.rank is not None else f"node {self.node}"
        return f"{who}: {in_words(self.exit_code, self.type, self.message)}"


class Peers:
    """The other launchers in one round of the rendezvous."""

    def __init__(self, store: Store, node: int, nodes: int, line: Line | None = None) -> None:
        """`line`: the one to the store, over all rounds."""
        self._store = store
        self._line = line or Line()
        self._node = node
        self.others = [other for other in range(nodes) if other != node]
        self._reports: dict[int, Report] = {}
        self._suspicions = 0  # answered ones
        self._gone = False

    def publish(self, verdict: Verdict, *, restarts: bool) -> None:
        """Tell the others how this node's ranks ended."""
        report = Report(self._node, int(verdict.code), verdict.rank, verdict.type, verdict.message[:500], restarts)
        if self.others:
            self._tell(self._store.set, _key(self._node), json.dumps(asdict(report)))
            self._tell(self._store.add, _COUNT, 1)

    def reports(self) -> list[Report]:
        """What the others have told so far. Costs one look into the store while nobody has anything new to tell."""
        told = self._ask(self._store.add, _COUNT, 0) if self.others else None
        if told is not None and told > len(self._reports):
            for other in self.others:
                if other not in self._reports and self._ask(self._store.check, [_key(other)]):
                    text = self._ask(self._store.get, _key(other))
                    if text is not None:
                        self._reports[other] = Report(**json.loads(text))
        return list(self._reports.values())

    def suspect(self) -> None:
        """Ask all launchers how far their ranks are: here they seem to hang."""
        if self.others:
            self._tell(self._store.add, _SUSPICIONS, 1)

    @property
    def suspected(self) -> bool:
        """Whether somebody has asked that since the last answer."""
        told = self._ask(self._store.add, _SUSPICIONS, 0) if self.others else None
        return told is not None and told > self._suspicions

    def compare(self, claim: Claim) -> dict[int, Claim]:
        """Answer how far the lowest rank of this node is; returns by node what the others have answered so far."""
        if not self.others:
            return {}
        told = self._ask(self._store.add, _SUSPICIONS, 0)
        if told is not None and told > self._suspicions:
            self._suspicions = told
            self._tell(self._store.set, _place_key(self._node, told), json.dumps(claim))
        keys = {other: _place_key(other, self._suspicions) for other in self.others}
        answers = {other: self._ask(self._store.get, key)
                   for other, key in keys.items() if self._ask(self._store.check, [key])}  # fmt: skip
        return {other: tuple(json.loads(answer)) for other, answer in answers.items() if answer is not None}

    def settle(self, others: int, seconds: float) -> None:
        """Say that this launcher knows what it will tell of the hang, and wait until so many others know it too, or the
        store is gone, or the time is over."""
        key = f"pet/settled/{self._suspicions}"
        if self.others:
            self._tell(self._store.add, key, 1)
            self._wait(seconds, until=lambda: (self._ask(self._store.add, key, 0) or 0) > others)

    @property
    def complete(self) -> bool:
        """Whether every other launcher has told."""
        return len(self.reports()) == len(self.others)

    def wait(self, seconds: float, until: Callable[[], bool]) -> None:
        """Wait until all have told, or `until` says so, or the store is gone, or the time is over."""
        self._wait(seconds, until=lambda: self.complete or until())

    def leave(self, seconds: float) -> None:
        """Say that this launcher reads no more. That of node 0 waits until all others have said so, or time is over."""
        if self._node != _HOST:
            self._tell(self._store.add, _LEFT, 1)
        elif self.others:
            self._wait(seconds, until=lambda: self._ask(self._store.add, _LEFT, 0) == len(self.others))

    def _wait(self, seconds: float, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while not until() and not self._gone and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _ask(self, call: Callable[..., _T], *arguments: object) -> _T | None:
        """None without an answer. While one is overdue there is no use in another question."""
        return None if self._line.blocked else self._tell(call, *arguments)

    def _tell(self, call: Callable[..., _T], *arguments: object) -> _T | None:
        """As `_ask`, but what there is to tell arrives once the line is free again.

        None once the store is gone. It never comes back to this round, and torch prints a dump for every call.
        """
        if self._gone:
            return None
        try:
            return self._line.call(_ANSWER_SECONDS, call, *arguments)
        except TimeoutError:
            return None
        except RuntimeError:  # torch's DistError: the launcher of node 0 is gone, what it told before is kept
            self._gone = True
            return None


def _key(node: int) -> str:
    return f"pet/end/{node}"


def _place_key(node: int, suspicion: int) -> str:
    return f"pet/place/{suspicion}/{node}"
