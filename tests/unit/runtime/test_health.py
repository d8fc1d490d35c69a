"""Whether this process does its work: of what it is ill, and of what it is not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from harness.timeless import NOON

from pet_operator.domain.constants import POD, SERVICE, Kind
from pet_operator.runtime.health import Health


@dataclass
class Clock:
    """A clock that is set by hand."""

    seconds: float = 1000.0

    def now(self) -> datetime:
        return NOON

    def precise_now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class Watching:
    """A reflector, as far as it is asked."""

    kind: Kind = POD
    failing: bool = False
    last_contact: float = 1000.0


@dataclass
class Patient:
    """A process some time after it has been well."""

    later: float = 0.0
    beats: bool = True
    longest_work: float = 0.0
    watching: tuple[Watching, ...] = (Watching(), Watching(SERVICE))

    def fault(self) -> str:
        clock = Clock()
        health = Health(clock)
        clock.seconds += self.later
        if self.beats:
            health.beat()
        reflectors: Any = self.watching
        return health.fault(reflectors, self.longest_work)


FRESH = Watching(last_contact=9999.0)


@pytest.mark.parametrize(
    ("patient", "fault"),
    [
        (Patient(), ""),
        (Patient(later=10, beats=False), ""),
        (Patient(later=11, beats=False), "the event loop has stood still for 11 s"),
        (Patient(longest_work=300), ""),
        (Patient(longest_work=301), "one job has been worked on for 301 s"),
        (Patient(later=180), ""),
        (Patient(later=181), "nothing was heard of pods for 181 s"),
        (Patient(later=181, watching=(FRESH, Watching(SERVICE))), "nothing was heard of services for 181 s"),
        (Patient(later=3600, watching=(Watching(failing=True), Watching(SERVICE, failing=True))), ""),
    ],
)
def test_a_fault_is_told_in_words(patient: Patient, fault: str) -> None:
    assert patient.fault() == fault


def test_an_api_server_that_is_away_is_no_illness() -> None:
    assert Patient(later=86_400, watching=(Watching(failing=True),)).fault() == ""
