"""Whom a change of a claim or of a job concerns."""

from __future__ import annotations

from harness.jobs import manifest
from harness.observing import SITE, pod_manifest
from harness.timeless import LoopClock

from pet_operator.domain.constants import TAKE_OVER
from pet_operator.domain.volumes import FolderUse
from pet_operator.runtime.cache import Cache
from pet_operator.runtime.ports import Key, Manifest

A, B, C = (Key("default", name) for name in "abc")
FOLDER = {"checkpoint": {"volume": {"claimName": "ckpts"}, "path": "x"}}


class Known:
    """A cache and whom it told since it was asked last."""

    def __init__(self) -> None:
        self._told: list[Key] = []
        self._version = 0
        self.cache = Cache(SITE, LoopClock(), self._told.append)

    def put(self, key: Key, *, attempt: int = 0, annotations: dict[str, str] | None = None, **spec: object) -> Manifest:
        self._version += 1
        identity = {"namespace": key.namespace, "uid": f"uid-of-{key.name}", "generation": self._version}
        job = manifest(key.name, **spec)
        job["metadata"] |= identity | {"resourceVersion": str(self._version), "annotations": annotations}
        self.cache.jobs.put(job | {"status": {"attempt": attempt}})
        return job

    def claim(self, name: str, mode: str = "ReadWriteMany", namespace: str = "default") -> Manifest:
        self._version += 1
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-of-{namespace}-{name}"}
        metadata["resourceVersion"] = str(self._version)
        claim = {"metadata": metadata, "spec": {"accessModes": [mode]}}
        self.cache.claims.put(claim)
        return claim

    def told(self) -> list[Key]:
        told = self._told[:]
        self._told.clear()
        return told

    def rivals(self, key: Key) -> list[str]:
        view = self.cache.observe(key, synced=True)
        assert view is not None
        return [rival.job for rival in view.rivals]


async def test_jobs_that_name_a_claim_are_told_of_it_and_see_it() -> None:
    known = Known()
    known.put(A, data={"claimName": "ckpts"})
    known.put(B, **FOLDER)
    known.put(C, checkpoint={"volume": {"size": "1Gi"}})
    known.told()
    claim = known.claim("ckpts")
    assert sorted(known.told()) == [A, B]
    known.claim("ckpts", namespace="other")
    known.claim("others")
    assert known.told() == []
    known.claim("c-checkpoints")
    assert known.told() == [C]
    view = known.cache.observe(A, synced=True)
    assert view is not None
    assert list(view.claims) == ["ckpts"]
    known.cache.claims.remove(claim)
    assert sorted(known.told()) == [A, B]


async def test_what_does_not_concern_a_job_is_no_news_to_it() -> None:
    known = Known()
    known.put(A, **FOLDER)
    claim = known.claim("ckpts")
    known.told()
    known.cache.claims.put({**claim, "metadata": claim["metadata"] | {"resourceVersion": "99"}})
    assert known.told() == []


async def test_jobs_in_one_folder_know_of_each_other_until_one_goes_or_moves() -> None:
    known = Known()
    first = known.put(A, **FOLDER)
    known.put(B, checkpoint={"volume": {"claimName": "ckpts"}, "path": "./x/"})
    known.put(C, checkpoint={"volume": {"claimName": "ckpts"}, "path": "x/y"})
    assert known.told() == [A, B, A, C]
    assert (known.rivals(A), known.rivals(B), known.rivals(C)) == (["b"], ["a"], [])
    known.put(A, attempt=1, **FOLDER)
    assert known.told() == [A, B]
    view = known.cache.observe(B, synced=True)
    assert view is not None
    assert view.rivals == (FolderUse("a", "uid-of-a", None, begun=True),)
    known.put(A, attempt=2, **FOLDER)
    assert known.told() == [A], "how far the other one is does not matter"
    known.cache.jobs.remove(first)
    assert known.told() == [A, B]
    assert known.rivals(B) == []
    known.put(B, checkpoint={"volume": {"claimName": "ckpts"}, "path": "x/y"})
    assert known.told() == [B, C]


async def test_jobs_without_a_volume_share_none() -> None:
    known = Known()
    for key in (A, B):
        known.put(key, checkpoint={"path": "x"})
    assert known.rivals(A) == []


async def test_of_a_job_that_is_to_be_gone_the_job_is_seen_and_then_its_pods() -> None:
    known = Known()
    known.put(A, annotations={TAKE_OVER: "uid-of-b"})

    def holder() -> str:
        view = known.cache.observe(A, synced=True)
        assert view is not None
        return view.holder

    assert holder() == ""
    other = known.put(Key("elsewhere", "b"))
    known.cache.pods.put(pod_manifest(0, name="b", uid="uid-of-b"))
    assert holder() == "the job elsewhere/b"
    known.cache.jobs.remove(other)
    assert holder() == "its pod b-1-0"
    known.cache.pods.put(pod_manifest(0, name="b", uid="uid-of-b", status={"phase": "Failed"}, resourceVersion="9"))
    assert holder() == ""
