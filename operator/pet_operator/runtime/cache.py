"""All that is known of the cluster: jobs, their pods and what is said of these, Services, claims and nodes, and what
launchers answered."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from pet_operator.domain import names
from pet_operator.domain.codec import decode, read_time
from pet_operator.domain.conditions import own
from pet_operator.domain.decision import Observed, Refusal, Site
from pet_operator.domain.launcher import LauncherStatus
from pet_operator.domain.policy import takeover
from pet_operator.domain.status import JobStatus
from pet_operator.domain.views import PodView, ServiceView, TrainerView, UnreadyNode, owner_of, pod_view, service_view
from pet_operator.domain.volumes import ClaimView, claim_view
from pet_operator.runtime.departed import Departed
from pet_operator.runtime.nodes import Nodes, seen_for
from pet_operator.runtime.ports import Clock, Key, Manifest
from pet_operator.runtime.store import Store
from pet_operator.runtime.validation import Validator
from pet_operator.runtime.volumes import Volumes
from pet_operator.runtime.warnings import Warnings


@dataclass(frozen=True, slots=True)
class Answer:
    """A launcher's newest `/status`, and when it came on the monotonic clock; before the first, when it was asked."""

    status: LauncherStatus | None
    at: float


class Cache:
    """Everything by job. `changed` is told of each job about which something new is known."""

    def __init__(self, site: Site, clock: Clock, changed: Callable[[Key], None]) -> None:
        self.site = site
        self.jobs: Store[Manifest] = Store(_trimmed, key_of, self._job_changed)
        self._departed = Departed()
        self.pods: Store[PodView] = Store(pod_view, _job_of, changed, self._pod_gone)
        self.services: Store[ServiceView] = Store(service_view, _job_of, changed)
        self.nodes = Nodes(clock, self._nodes_changed)
        self.warnings = Warnings(self._warned)
        self.claims: Store[ClaimView] = Store(claim_view, key_of, self._claim_changed)
        self.answers: dict[str, Answer] = {}
        self._leaving: dict[Key, dict[str, float]] = {}  # pod's uid → when it was first seen terminating
        self._ended: dict[Key, dict[str, float]] = {}  # pod's uid → when its ranks were first seen to be over
        self._refused: dict[Key, tuple[str, Refusal]] = {}  # with the job's uid
        self._statuses: dict[Key, tuple[Manifest, JobStatus]] = {}  # with the manifest that it was read from
        self._validator = Validator()
        self._volumes = Volumes()
        self._clock = clock
        self._changed = changed

    def job(self, key: Key) -> Manifest | None:
        """The job as it was seen last. Of two with one name, a deleted one and its successor, the younger."""
        return max(self.jobs.of(key), key=lambda job: int(job["metadata"]["resourceVersion"]), default=None)

    def observe(self, key: Key, *, synced: bool) -> Observed | None:
        """The whole view of a job, None if it does not exist. `synced`: everything has been listed. That is not enough
        while the pods' watch has a gap: one that is absent, or as it was, may be neither; nor while they are listed
        anew, page by page."""
        manifest = self.job(key)
        if manifest is None:
            return None
        metadata = manifest["metadata"]
        checked = self._validator.check(key, manifest)
        status = self._status(key, manifest)
        pods = [self.warnings.added_to(pod) for pod in self.pods.of(key)]
        pods += self._departed.of(key, metadata["uid"], status, pods)
        since = self.pods.since
        job = replace(checked.job, annotations=metadata.get("annotations") or {})  # no new generation by them
        return Observed(
            job=job,
            generation=metadata["generation"],
            resource_version=metadata["resourceVersion"],
            status=status,
            validation=checked.validation,
            site=self.site,
            synced=synced and since is not None,
            deleting="deletionTimestamp" in metadata,
            created=read_time(metadata.get("creationTimestamp")),
            pods=tuple(pod for pod in pods if pod.job_uid == metadata["uid"]),
            predecessors=tuple(pod for pod in pods if pod.job_uid != metadata["uid"]),
            service=next(iter(self.services.of(key)), None),
            claims={claim.name: claim for name in self._volumes.claims(key) for claim in self.claims.of(name)},
            rivals=self._volumes.rivals(key),
            holder=self._holder(takeover.asked(job)),
            trainers=self._trainers(pods),
            unready=self._unready(pods),
            cut_off=self.nodes.cut_off,
            leaving=self._for_seconds(
                self._leaving, key, [pod for pod in pods if pod.terminating and not pod.over], self.nodes.patient(since)
            ),
            ended=self._for_seconds(self._ended, key, [pod for pod in pods if pod.ended], since),
            refused=self._refusal(key, metadata["uid"]),
        )

    def refuse(self, key: Key, uid: str, refusal: Refusal | None) -> None:
        """How the newest attempt at making a job's objects went: None if they could be made."""
        if refusal is None:
            self._refused.pop(key, None)
        else:
            self._refused[key] = (uid, refusal)

    def lose(self, key: Key, uid: str) -> None:
        """This job is not there any more."""
        for job in self.jobs.of(key):
            if job["metadata"]["uid"] == uid:
                self.jobs.remove(job)

    def forget(self, key: Key) -> None:
        """A job that is gone."""
        self._refused.pop(key, None)
        self._leaving.pop(key, None)
        self._ended.pop(key, None)
        self._departed.forget(key)
        self._statuses.pop(key, None)
        self._validator.forget(key)

    def _status(self, key: Key, manifest: Manifest) -> JobStatus:
        """Read once for each version of a job: it is looked at in every round of polls, and seldom changes."""
        known = self._statuses.get(key)
        if known is None or known[0] is not manifest:
            known = self._statuses[key] = (manifest, own(decode(JobStatus, manifest.get("status"))))
        return known[1]

    def _refusal(self, key: Key, uid: str) -> Refusal | None:
        """Not that of a job of this name before it."""
        whose, refusal = self._refused.get(key, ("", None))
        return refusal if whose == uid else None

    def _unready(self, pods: list[PodView]) -> dict[str, UnreadyNode]:
        names = {pod.node for pod in pods}
        return {name: node for name in names if (node := self.nodes.of(name)) is not None}

    def _for_seconds(
        self, first: dict[Key, dict[str, float]], key: Key, pods: list[PodView], since: float | None
    ) -> dict[str, float]:
        """For how long pods have been seen like this, without a gap since then. They stay so, which makes it enough to
        note it when the job is looked at, right after the news."""
        before, now = first.get(key, {}), self._clock.monotonic()
        seen = first[key] = {pod.uid: before.get(pod.uid, now) for pod in pods}
        return {uid: seen_for(moment, since, self._clock) for uid, moment in seen.items()}

    def _nodes_changed(self, names: Collection[str]) -> None:
        keys = self.pods.keys()
        for key in keys:
            if any(pod.node in names for pod in self.pods.of(key)):
                self._changed(key)

    def _warned(self, namespace: str, pod: str) -> None:
        key = Key(namespace, names.job_of_pod(pod))
        if self.pods.of(key):
            self._changed(key)

    def _holder(self, uid: str) -> str:
        """What is there of the job with this uid, in words."""
        if not uid:
            return ""
        places = (key_of(job) for job in self.jobs.all() if job["metadata"]["uid"] == uid)
        jobs = (f"the job {place}" for place in places)
        pods = (f"its pod {pod.name}" for pod in self.pods.all() if pod.job_uid == uid and not pod.over)
        return next(jobs, "") or next(pods, "")

    def _pod_gone(self, key: Key, pod: PodView) -> None:
        """What a deleted job leaves, nobody asks for any more."""
        if self.jobs.of(key):
            self._departed.put(key, pod)

    def _job_changed(self, key: Key) -> None:
        """Jobs that share its checkpoint folder, or did, are concerned as well."""
        if not self.jobs.of(key):
            self._departed.forget(key)
        for concerned in (key, *sorted(self._volumes.update(key, self.job(key)))):
            self._changed(concerned)

    def _claim_changed(self, claim: Key) -> None:
        for key in self._volumes.naming(claim):
            self._changed(key)

    def _trainers(self, pods: list[PodView]) -> dict[str, TrainerView]:
        now = self._clock.monotonic()
        return {
            pod.uid: TrainerView(status=answer.status, age=now - answer.at)
            for pod in pods
            if (answer := self.answers.get(pod.uid)) is not None
        }


def key_of(manifest: Manifest) -> Key:
    """By the object's own name."""
    return Key(manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def _trimmed(job: Manifest) -> Manifest:
    """Without the bookkeeping of field managers, the larger half of many objects."""
    metadata = {name: value for name, value in job["metadata"].items() if name != "managedFields"}
    return {**job, "metadata": metadata}


def _job_of(manifest: Manifest) -> Key:
    """The job that owns it; what no job owns is found by no name."""
    return Key(manifest["metadata"]["namespace"], owner_of(manifest).get("name", ""))
