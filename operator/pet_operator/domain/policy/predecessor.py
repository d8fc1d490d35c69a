"""A job that was deleted and applied again waits for the pods of its former self: they may still be saving."""

from __future__ import annotations

from pet_operator.domain import names
from pet_operator.domain.decision import Observed
from pet_operator.domain.policy.volumes import of_predecessor

REASON = "WaitingForPredecessor"


def predecessor(observed: Observed) -> str:
    """What of the deleted job of the same name is still there, in words; empty if nothing is."""
    pods = sorted(pod.name for pod in observed.predecessors if not pod.over)
    if pods:
        return f"the pods {', '.join(pods)} of the deleted job of this name are still saving"
    service = observed.service
    if service is not None and service.owner_uid != observed.job.uid:
        return f"the Service {service.name} of the deleted job of this name is not gone yet"
    if claim := of_predecessor(observed):
        return f"the PersistentVolumeClaim {claim.name} of the deleted job of this name is not gone yet"
    needed = {names.pod(observed.job.name, observed.status.attempt + 1, i) for i in range(observed.job.spec.nodes)}
    if pods := sorted(pod.name for pod in observed.predecessors if pod.name in needed):
        return f"the pods {', '.join(pods)} of the deleted job of this name are not gone yet"
    return ""
