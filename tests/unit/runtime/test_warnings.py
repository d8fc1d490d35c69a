"""What is said of a pod in Events, and until when that is what its job awaits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.observing import pod

from pet_operator.domain.views import PodView
from pet_operator.runtime.warnings import Warnings

MOUNT = ("FailedMount", 'secret "token" not found')
MULTI_ATTACH = ("FailedAttachVolume", "Multi-Attach error for volume pvc-1")
TIMED_OUT = ("FailedMount", "Unable to attach or mount volumes: unmounted volumes=[data]: timed out waiting")
WAITING = pod(0, "Pending")


def event(reason: str, note: str, *, uid: str = "event", about: PodView = WAITING, **fields: Any) -> dict[str, Any]:
    regarding = {"kind": "Pod", "namespace": "default", "name": about.name, "uid": about.uid}
    return {"metadata": {"uid": uid}, "reason": reason, "note": note, "regarding": regarding, **fields}


class Known:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.warnings = Warnings(lambda namespace, name: self.told.append((namespace, name)))

    def awaited(self, view: PodView = WAITING) -> tuple[str, str] | None:
        return self.warnings.added_to(view).awaited


def test_the_newest_is_what_the_pod_awaits_and_is_news_once() -> None:
    known = Known()
    for _ in range(2):
        known.warnings.put(event(*MOUNT))
    assert (known.awaited(), known.told) == (MOUNT, [("default", "job-1-0")])
    known.warnings.put(event(*MULTI_ATTACH, uid="later"))
    assert (known.awaited(), len(known.told)) == (MULTI_ATTACH, 2)
    assert known.awaited(pod(1, "Pending")) is None


def test_that_volumes_are_still_awaited_hides_no_reason() -> None:
    known = Known()
    known.warnings.put(event(*TIMED_OUT, uid="first"))
    assert known.awaited() == TIMED_OUT
    known.warnings.put(event(*MULTI_ATTACH, uid="second"))
    known.warnings.put(event(*TIMED_OUT, uid="third"))
    assert known.awaited() == MULTI_ATTACH


@pytest.mark.parametrize(
    "changes",
    [{"phase": "Running"}, {"node": ""}, {"prepared": True}, {"awaited": ("ErrImagePull", "no")}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_has_passed_is_not_said(changes: dict[str, Any]) -> None:
    known = Known()
    known.warnings.put(event(*MOUNT))
    view = replace(WAITING, **changes)
    assert known.awaited(view) == view.awaited


def test_an_event_that_is_gone_says_nothing_any_more() -> None:
    known = Known()
    known.warnings.put(event(*MOUNT, uid="old"))
    known.warnings.put(event(*MULTI_ATTACH, uid="new"))
    known.warnings.remove(event(*MOUNT, uid="old"))
    assert known.awaited() == MULTI_ATTACH
    known.warnings.remove(event(*MULTI_ATTACH, uid="new"))
    assert known.awaited() is None


def test_of_a_list_the_one_that_was_told_last_counts() -> None:
    known, other = Known(), pod(1, "Pending")
    known.warnings.put(event(*MOUNT, uid="gone", about=other))
    listed = [
        event(*MULTI_ATTACH, uid="a", deprecatedLastTimestamp="2026-01-31T12:00:09Z"),
        event(*MOUNT, uid="b", eventTime="2026-01-31T12:00:01.000000Z"),
    ]
    for each in listed:
        known.warnings.put(each)
    known.warnings.retain({"a", "b"}, "7")
    assert (known.awaited(), known.awaited(other)) == (MULTI_ATTACH, None)
