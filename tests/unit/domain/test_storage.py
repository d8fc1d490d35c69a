"""Before a job begins: its claims are there, all its pods can mount them, and its folder is nobody else's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.jobs import manifest
from harness.observing import UID, claims, condition, ended, later, observed, owner, pod, said, seen, stands
from harness.timeless import NOON
from hypothesis import given
from hypothesis import strategies as st

from pet.config.job import parse_job
from pet_operator.domain.codec import write_time
from pet_operator.domain.constants import RESTART_REQUESTED
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Create, Observed
from pet_operator.domain.status import CheckpointStatus
from pet_operator.domain.volumes import ClaimView, FolderUse, checkpoint_claim, claim_view, job_volumes

MINE = {"checkpoint": {"volume": {"claimName": "mine"}}}
MADE = {"checkpoint": {"volume": {"size": "1Gi"}}}
OLDER = FolderUse("first", "uid-of-first", later(-60))
TWO = {"nodes": 2}
NAMED, NEW, DATA = "spec.checkpoint.volume.claimName", "spec.checkpoint.volume", "spec.data.claimName"
NO_CLAIM = f"{NAMED}: there is no PersistentVolumeClaim mine in this namespace; make it"
NO_DATA = NO_CLAIM.replace(NAMED, DATA)
GOES = "is being deleted; a new one is waited for"
TAKEN = "the PersistentVolumeClaim job-checkpoints exists and belongs to somebody else; delete it or rename the job"
NOT_SHARED = ", which cannot be mounted on 2 nodes; give a claim that is ReadWriteMany, or spec.nodes: 1"


def data(**fields: Any) -> dict[str, Any]:
    return {"data": {"claimName": "mine"} | fields}


def made(**changes: Any) -> dict[str, ClaimView]:
    """The claim that was made for a job of this name before."""
    return claims("job-checkpoints", made_for="job", **changes)


@pytest.mark.parametrize(
    ("spec", "there", "reason", "words"),
    [
        (MINE, {}, "ClaimNotFound", NO_CLAIM),
        (data(), {}, "ClaimNotFound", NO_DATA),
        (MINE | data(claimName="coco"), {}, "ClaimNotFound", NO_CLAIM + "\n" + NO_DATA.replace("mine", "coco")),
        (MINE, claims(terminating=True), "ClaimTerminating", f"{NAMED}: the PersistentVolumeClaim mine {GOES}"),
        (MADE, made(terminating=True), "ClaimTerminating", f"{NEW}: the PersistentVolumeClaim job-checkpoints {GOES}"),
        (MINE, claims(modes="ReadOnlyMany"), "CheckpointVolumeReadOnly",
         f"{NAMED}: mine is ReadOnlyMany, and checkpoints are written; give a claim that is ReadWriteMany or "
         "ReadWriteOnce or ReadWriteOncePod"),
        *((MADE, claims("job-checkpoints", made_for=other), "ClaimNameTaken", f"{NEW}: {TAKEN}")
          for other in ("", "other")),
        *((MINE | TWO, claims(modes=modes), "CheckpointVolumeNotShareable",
           f"{NAMED}: mine is {modes.replace(' ', ' or ')}{NOT_SHARED}")
          for modes in ("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteOnce ReadOnlyMany")),
        (MADE | TWO, made(modes="ReadWriteOnce"), "CheckpointVolumeNotShareable",
         f"{NEW}: job-checkpoints is ReadWriteOnce{NOT_SHARED}"),
        (data() | TWO, claims(modes="ReadWriteOnce"), "DataVolumeNotShareable",
         f"{DATA}: mine is ReadWriteOnce{NOT_SHARED.replace('Many', 'Many or ReadOnlyMany')}"),
        (data(readOnly=False) | TWO, claims(modes="ReadOnlyMany"), "DataVolumeNotShareable",
         f"{DATA}: mine is ReadOnlyMany{NOT_SHARED}"),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_cluster_may_still_provide_is_waited_for(
    spec: dict[str, Any], there: dict[str, ClaimView], reason: str, words: str
) -> None:
    decision = decide(observed(spec=spec, claims=there), NOON)
    assert decision.actions == ()
    assert stands(decision.status) == ("Pending", reason, words)
    assert said(decision.status, "Accepted") == ("False", reason, words)
    assert (decision.status.attempt, condition(decision.status, "Stalled").status) == (0, "False")


@pytest.mark.parametrize(
    ("spec", "there"),
    [
        (MINE | {"nodes": 2}, claims()),
        (MINE | {"nodes": 2}, claims(modes="ReadWriteOnce ReadWriteMany")),
        (MINE, claims(modes="ReadWriteOnce")),
        (MINE, claims(modes="ReadWriteOncePod")),  # its pods follow each other
        (data() | {"nodes": 2}, claims(modes="ReadOnlyMany")),
        (data(), claims(modes="ReadWriteOnce")),
        (MADE | {"nodes": 2}, {}),  # it is made
        (MADE, made(modes="ReadWriteOnce")),
    ],
    ids=str,
)
def test_what_will_do_is_taken(spec: dict[str, Any], there: dict[str, ClaimView]) -> None:
    assert decide(observed(spec=spec, claims=there), NOON).status.attempt == 1


@pytest.mark.parametrize("rival", [OLDER, replace(OLDER, created=later(60), begun=True), replace(OLDER, created=NOON)])
def test_of_two_jobs_in_one_folder_the_younger_waits_whatever_the_other_does(rival: FolderUse) -> None:
    view = observed(spec=MINE, claims=claims(), rivals=(rival,), created=NOON)
    words = (
        "spec.checkpoint.path: job in the claim mine is the folder of the job first; give another path, with "
        "spec.checkpoint.resume: job to begin with that job's model, or delete that job and set the annotation "
        "pet.dev/take-over: uid-of-first to go on from its checkpoints"
    )
    decision = decide(view, NOON)
    assert stands(decision.status) == ("Pending", "CheckpointPathInUse", words)
    assert (decision.actions, decision.requeue_after) == ((), None)
    waiting = seen(view, decision, rivals=())
    assert stands(decide(waiting, later(9)).status) == ("Pending", "CreatingPods", "making 1 pod")


@pytest.mark.parametrize("rival", [replace(OLDER, created=later(60)), replace(OLDER, created=NOON, uid="z")])
def test_the_older_one_begins(rival: FolderUse) -> None:
    assert decide(observed(spec=MINE, claims=claims(), rivals=(rival,), created=NOON), NOON).status.attempt == 1


def test_a_job_that_has_begun_is_not_stopped_by_an_older_one_that_was_edited() -> None:
    first = observed(spec=MINE, claims=claims(), created=NOON)
    view = seen(first, decide(first, NOON), rivals=(OLDER,), pods=(pod(0),))
    assert said(decide(view, later(1)).status, "Accepted")[0] == "True"
    at_end = replace(at_rest(MINE), claims=claims(), rivals=(OLDER,))
    assert decide(at_end, later(2)).status.attempt == 2


def at_rest(spec: dict[str, Any], phase: str = "Suspended") -> Observed:
    """A job that had an attempt and a checkpoint, and has neither pods nor its claim."""
    first = observed(spec=spec, claims=claims(), created=NOON)
    view = seen(first, decide(first, NOON), pods=(ended(0, 78),))
    if phase == "Suspended":
        asked = replace(view.job, spec=replace(view.job.spec, suspend=True))
        view = seen(replace(view, job=asked), decide(replace(view, job=asked), later(1)), job=view.job)
    else:
        view = seen(view, decide(view, later(1)))
    status = replace(view.status, checkpoint=CheckpointStatus(iteration=5, verified=True))
    assert status.phase == phase
    return replace(view, status=status, claims={})


def test_a_job_that_goes_on_waits_like_a_new_one_and_makes_no_pod_of_its_old_attempt() -> None:
    view = at_rest(MINE)
    decision = decide(view, later(2))
    assert stands(decision.status) == ("Pending", "ClaimNotFound", NO_CLAIM)
    waiting = seen(view, decision)
    assert decide(waiting, later(3)) == decision
    status = decide(replace(waiting, claims=claims()), later(4)).status
    assert (*stands(status)[:2], status.attempt) == ("Pending", "CreatingPods", 2)


def test_a_job_that_waits_again_may_be_suspended_again() -> None:
    view = at_rest(MINE)
    waiting = seen(view, decide(view, later(2)), job=observed(spec=MINE | {"suspend": True}).job)
    words = "spec.suspend is true; the newest checkpoint is of iteration 5"
    assert stands(decide(waiting, later(3)).status) == ("Suspended", "Suspended", words)


def test_a_failed_job_that_is_asked_to_go_on_waits_and_then_has_all_its_restarts() -> None:
    view = at_rest(MINE, "Failed")
    asked = replace(view.job, annotations={RESTART_REQUESTED: write_time(later(2))})
    waiting = seen(replace(view, job=asked), decide(replace(view, job=asked), later(2)), job=asked)
    status = waiting.status
    assert (*stands(status)[:2], status.completion_time) == ("Pending", "ClaimNotFound", None)
    status = decide(replace(waiting, claims=claims()), later(3)).status
    assert (status.attempt, status.restarts, status.restart_requested) == (2, 1, later(2))
    assert status.failure is None


def test_pods_of_a_running_job_are_not_stopped_when_its_claim_is_deleted() -> None:
    first = observed(spec=MINE, claims=claims())
    view = seen(first, decide(first, NOON), claims={})
    assert [action.kind.kind for action in decide(view, later(1)).actions if isinstance(action, Create)] == [
        "Service",
        "Pod",
    ]


def test_a_claim_is_seen_with_the_modes_of_its_volume_and_whose_it_is() -> None:
    labels = {"pet.dev/job": "job", "app.kubernetes.io/managed-by": "pet-operator"}
    metadata = {"name": "job-checkpoints", "labels": labels, "ownerReferences": [owner()], "deletionTimestamp": "now"}
    claim = {
        "metadata": metadata,
        "spec": {"accessModes": ["ReadWriteOnce"]},
        "status": {"accessModes": ["ReadWriteOnce", "ReadWriteMany"]},
    }
    modes = "ReadWriteOnce ReadWriteMany"
    assert (
        claim_view(claim)
        == claims("job-checkpoints", modes, terminating=True, made_for="job", owner_uid=UID)["job-checkpoints"]
    )
    bare = {"metadata": {"name": "mine"}, "spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Pending"}}
    assert claim_view(bare) == claims("mine", "ReadWriteOnce")["mine"]


PATHS = st.sampled_from(["a", "a/b", "./a//b/", "a/.", None])
VOLUMES = st.sampled_from([None, {"size": "1Gi"}, {"claimName": "mine"}])


@given(path=PATHS, volume=VOLUMES, data=st.sampled_from([None, {"claimName": "coco"}]))
def test_the_short_look_at_a_job_sees_what_the_long_one_sees(path: Any, volume: Any, data: Any) -> None:
    checkpoint = {name: value for name, value in (("path", path), ("volume", volume)) if value is not None}
    job = manifest("job", checkpoint=checkpoint, **({"data": data} if data else {}))
    job["metadata"] |= {"uid": UID, "creationTimestamp": write_time(NOON)}
    read, problems = parse_job(job)
    assert read is not None
    assert problems == []
    claim = checkpoint_claim(read)
    looked = job_volumes({**job, "status": {"attempt": 3}})
    assert looked.use == FolderUse("job", UID, NOON, begun=True)
    assert looked.folder == ((claim, read.spec.checkpoint.path) if claim else None)
    assert looked.claims == {claim, read.spec.data.claim_name if read.spec.data else ""} - {""}


@pytest.mark.parametrize(
    "spec", [{}, {"checkpoint": 1, "data": []}, {"checkpoint": {"volume": "x", "path": {}}}], ids=str
)
def test_nothing_in_a_job_stops_the_look_at_it(spec: dict[str, Any]) -> None:
    looked = job_volumes({"metadata": {"name": "job", "uid": UID}, "spec": spec, "status": None})
    assert (looked.claims, looked.folder) == (frozenset(), None)
