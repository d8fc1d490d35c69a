"""Pods of an attempt under way that are gone, as they were last: a deletion often comes with a pod's last words."""

from __future__ import annotations

from dataclasses import replace

from pet_operator.domain.status import JobStatus
from pet_operator.domain.views import PodView
from pet_operator.runtime.ports import Key


class Departed:
    """Pods as they were when they went, kept as long as something is still to be decided by them."""

    def __init__(self) -> None:
        self._pods: dict[Key, dict[str, PodView]] = {}  # by their uids

    def put(self, key: Key, pod: PodView) -> None:
        """A pod of a job that is gone, as it was last. Only the newest attempt's are kept: a standby, which never asks
        for them, sees them all."""
        pods = [pod, *self._pods.get(key, {}).values()]
        newest = max(other.attempt for other in pods if other.job_uid == pod.job_uid)
        phase = "Succeeded" if pod.succeeded else "Failed"
        pods[0] = replace(pod, phase=phase, ready=False, gone=True)
        self._pods[key] = {other.uid: other for other in pods if _attempt(other) == (pod.job_uid, newest)}

    def of(self, key: Key, job_uid: str, status: JobStatus, there: list[PodView]) -> list[PodView]:
        """Those of the job's attempt under way; whatever else there is is forgotten, also what is there after all."""
        attempt = (job_uid, status.attempt if status.current.ended_at is None else 0)
        pods, present = self._pods.pop(key, {}), {pod.uid for pod in there}
        kept = {uid: pod for uid, pod in pods.items() if _attempt(pod) == attempt and uid not in present}
        if kept:
            self._pods[key] = kept
        return list(kept.values())

    def forget(self, key: Key) -> None:
        """A job that is gone."""
        self._pods.pop(key, None)


def _attempt(pod: PodView) -> tuple[str, int]:
    return pod.job_uid, pod.attempt
