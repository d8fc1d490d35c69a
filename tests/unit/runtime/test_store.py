"""What is known of the cluster: by whichever way news come, and in whichever order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pet_operator.runtime import store as module
from pet_operator.runtime.ports import Key
from pet_operator.runtime.store import Store

JOB, OTHER = Key("default", "job"), Key("default", "other")


class Pods:
    """A store of (name, phase) and whom it told."""

    def __init__(self) -> None:
        self.told: list[Key] = []
        self.store: Store[tuple[str, str]] = Store(
            lambda manifest: (manifest["metadata"]["name"], manifest["phase"]),
            lambda manifest: Key("default", manifest["job"]),
            self.told.append,
        )

    def list(self, version: int, *pods: dict[str, Any]) -> None:
        for each in pods:
            self.store.put(each)
        self.store.retain({each["metadata"]["uid"] for each in pods}, str(version))

    def of(self, key: Key = JOB) -> Sequence[tuple[str, str]]:
        return sorted(self.store.of(key))


def pod(index: int, version: int, phase: str = "Running", job: str = "job") -> dict[str, Any]:
    return {
        "metadata": {"name": f"pod-{index}", "uid": f"uid-{index}", "resourceVersion": str(version)},
        "phase": phase,
        "job": job,
    }


def test_what_changes_is_told_and_what_does_not_is_not() -> None:
    pods = Pods()
    pods.store.put(pod(0, 1, "Pending"))
    pods.store.put(pod(0, 2, "Pending"))
    assert pods.told == [JOB]
    pods.store.put(pod(0, 3))
    assert (pods.of(), pods.told) == ([("pod-0", "Running")], [JOB, JOB])


def test_older_news_than_is_known_are_ignored() -> None:
    pods = Pods()
    pods.store.put(pod(0, 9, "Failed"))
    for version in (8, 9):
        pods.store.put(pod(0, version))
    assert (pods.of(), len(pods.told)) == ([("pod-0", "Failed")], 1)


def test_versions_are_numbers_not_texts() -> None:
    pods = Pods()
    pods.store.put(pod(0, 9))
    pods.store.put(pod(0, 10, "Failed"))
    assert pods.of() == [("pod-0", "Failed")]


def test_what_is_gone_is_told_once_and_stays_gone() -> None:
    pods = Pods()
    pods.store.put(pod(0, 1))
    for _ in range(2):
        pods.store.remove(pod(0, 2))
    pods.store.put(pod(0, 2))  # late news of it
    assert (pods.of(), len(pods.store), pods.store.keys(), len(pods.told)) == ([], 0, [], 2)


def test_what_is_told_of_after_its_deletion_is_there_after_all() -> None:
    """It had not the labels that are watched for a while."""
    pods = Pods()
    pods.store.put(pod(0, 1))
    pods.store.remove(pod(0, 2))
    pods.store.put(pod(0, 3))
    assert pods.of() == [("pod-0", "Running")]


@pytest.mark.parametrize(("version", "phase"), [(3, "Failed"), (1, "Running")], ids=["newer", "older"])
def test_of_what_is_gone_the_newest_view_is_told(version: int, phase: str) -> None:
    gone: list[tuple[Key, str]] = []
    store = Store(lambda each: each["phase"], lambda _: JOB, lambda _: None, lambda key, view: gone.append((key, view)))
    store.put(pod(0, 2))
    store.remove(pod(0, version, "Failed"))
    assert gone == [(JOB, phase)]


def test_a_deletion_that_comes_before_the_rest_counts() -> None:
    pods = Pods()
    pods.store.remove(pod(0, 5))
    pods.store.put(pod(0, 4))
    assert (pods.of(), pods.told) == ([], [])


def test_pods_1_and_3_of_five_that_were_deleted_unseen_are_gone_and_told_of() -> None:
    """kopf's index keeps all five, and its handlers hear of the other three only."""
    pods = Pods()
    pods.list(5, *(pod(index, index + 1) for index in range(5)))
    assert len(pods.told) == 5
    pods.told.clear()
    pods.list(9, *(pod(index, index + 1) for index in (0, 2, 4)))
    assert [name for name, _ in pods.of()] == ["pod-0", "pod-2", "pod-4"]
    assert pods.told == [JOB, JOB]


def test_what_was_made_after_the_list_was_taken_stays() -> None:
    pods = Pods()
    pods.store.put(pod(0, 3))
    pods.store.put(pod(1, 7))  # the answer to our own write
    pods.list(5)
    assert pods.of() == [("pod-1", "Running")]


def test_a_list_does_not_take_newer_news_back() -> None:
    pods = Pods()
    pods.store.put(pod(0, 7, "Failed"))
    pods.list(5, pod(0, 3))
    assert pods.of() == [("pod-0", "Failed")]


def test_a_list_that_was_taken_before_a_deletion_does_not_bring_the_object_back() -> None:
    pods = Pods()
    pods.store.put(pod(0, 3))
    pods.store.remove(pod(0, 7))
    pods.list(5, pod(0, 3))
    assert pods.of() == []


def test_objects_are_found_by_their_job() -> None:
    pods = Pods()
    pods.store.put(pod(0, 1))
    pods.store.put(pod(1, 2, job="other"))
    assert (pods.of(), pods.of(OTHER)) == ([("pod-0", "Running")], [("pod-1", "Running")])
    assert sorted(pods.store.keys()) == [JOB, OTHER]


def test_an_object_that_changes_its_job_leaves_the_old_one() -> None:
    """Somebody has overwritten a label."""
    pods = Pods()
    pods.store.put(pod(0, 1))
    pods.store.put(pod(0, 2, job="other"))
    assert (pods.of(), pods.of(OTHER)) == ([], [("pod-0", "Running")])
    assert pods.told == [JOB, JOB, OTHER]
    pods.store.remove(pod(0, 3))
    assert (pods.of(), pods.of(OTHER), pods.store.keys()) == ([], [], [])


def test_deletions_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED_DELETIONS", 2)
    pods = Pods()
    for index in range(3):
        pods.store.remove(pod(index, 1))
    for index in range(3):
        pods.store.put(pod(index, 1))
    assert [name for name, _ in pods.of()] == ["pod-0"]
