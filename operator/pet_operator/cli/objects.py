"""What the operator would make of a job that it has just been given: its own decision, without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pet.config.check import JobReview
from pet.config.job import PetTrainingJob, read_job
from pet_operator.domain.constants import CLAIM, CONFIG_MAP, POD
from pet_operator.domain.decide import decide
from pet_operator.domain.decision import Create, Observed, Site, Validation
from pet_operator.domain.status import JobStatus
from pet_operator.domain.template import trainer_of
from pet_operator.domain.volumes import ClaimView

Manifest = Mapping[str, Any]


def objects_of(review: JobReview, trainer_image: str) -> list[Manifest]:
    """The manifests of attempt 1 in the order in which they are made; none for an invalid job.

    What only the cluster knows is empty: the uids of the job, also in labels, and of the cluster. Claims that the job
    names are taken to be there.
    """
    if not review.valid or review.job is None:
        return []
    job = read_job(_kept(review.manifest))
    named = [volume.claim_name for volume in (job.spec.data, job.spec.checkpoint.volume) if volume is not None]
    observed = Observed(
        job=job,
        claims={name: ClaimView(name=name, access_modes=("ReadWriteMany",)) for name in named if name},
        generation=1,
        resource_version="",
        status=JobStatus(),
        validation=Validation(script=review.script.path if review.script is not None else ""),
        site=Site(cluster="", trainer_image=trainer_image),
    )
    now = datetime.now(UTC)
    begun = replace(observed, status=decide(observed, now).status)  # first the attempt is written down
    return [action.manifest for action in decide(begun, now).actions if isinstance(action, Create)]


def _kept(manifest: Any) -> Any:
    """The manifest as an API server gives it back: its keys sorted, and 1.0 as 1, which JSON does not tell apart.

    The operator makes the text of `config`, by whose hash the ConfigMap is called, and the arguments out of that.
    """
    return json.loads(
        json.dumps(manifest, default=str),  # a date is a text there
        object_pairs_hook=lambda pairs: dict(sorted(dict(pairs).items())),
        parse_float=_number,
    )


def _number(text: str) -> int | float:
    """A number that JSON writes without an exponent is a whole one when it is read again."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def described(objects: list[Manifest], job: PetTrainingJob) -> Iterator[str]:
    """A line for each object, but one for all pods, for people."""
    if not objects:
        yield f"none: spec.managedBy leaves the job to {job.spec.managed_by}"
    pods = [manifest for manifest in objects if manifest["kind"] == POD.kind]
    for manifest in objects:
        if manifest["kind"] != POD.kind:
            yield f"{manifest['kind']} {manifest['metadata']['name']}{_remark(manifest, job)}"
    if pods:
        first, last = (pod["metadata"]["name"] for pod in (pods[0], pods[-1]))
        who = f"Pod {first}" if len(pods) == 1 else f"{len(pods)} Pods {first} … {last}"
        gpus = f", each with {job.spec.gpus_per_node} {job.spec.gpu_resource}" if job.spec.gpus_per_node else ""
        yield f"{who}, image {trainer_of(pods[0])['image']}{gpus}"


def _remark(manifest: Manifest, job: PetTrainingJob) -> str:
    if manifest["kind"] == CONFIG_MAP.kind:
        return f", mounted at /etc/pet as {job.spec.cfg}"
    if manifest["kind"] == CLAIM.kind:
        spec, kept = manifest["spec"], job.spec.checkpoint.on_delete == "Retain"
        size = f"{spec['resources']['requests']['storage']} {' '.join(spec['accessModes'])}"
        return f", {size}, {'kept when the job is deleted' if kept else 'deleted with the job'}"
    return ""
