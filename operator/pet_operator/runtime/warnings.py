"""What is said of pods whose containers cannot be made yet: volumes that cannot be mounted, a network that fails.

The kubelet and the attach controller say that in Events alone. Only warnings about pods are watched, without those that
come in numbers and are told of elsewhere: the scheduler's, which are in the pod's conditions, and probes'.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from pet_operator.domain.views import PodView
from pet_operator.runtime.ports import Manifest

FIELDS = "regarding.kind=Pod,type=Warning,reason!=FailedScheduling,reason!=Unhealthy,reason!=BackOff"

# What the kubelet says every two minutes while something else, told of once, is why.
_NOTHING_NEW = "Unable to attach or mount volumes"


@dataclass(frozen=True, slots=True)
class _Warning:
    event: str  # its uid
    reason: str
    words: str
    told_at: str = field(compare=False)  # the last time


class Warnings:
    """Filled by a watch. `changed` is told of each pod, by its namespace and name, of which something new is said.

    `since`: as in `runtime.store.Store`; nothing here asks for it.
    """

    def __init__(self, changed: Callable[[str, str], None]) -> None:
        self.since: float | None = None
        self._changed = changed
        self._newest: dict[str, _Warning] = {}  # by the pod's uid

    def added_to(self, pod: PodView) -> PodView:
        """The pod, with the newest warning as what it awaits. Once its volumes and its network are there, or it says
        itself what it waits for, that is over, however long the Event is kept."""
        warning = self._newest.get(pod.uid)
        if warning is None or pod.phase != "Pending" or not pod.node or pod.prepared or pod.awaited is not None:
            return pod
        return replace(pod, awaited=(warning.reason, warning.words))

    def put(self, manifest: Manifest) -> None:
        """An Event as it was made, or told once more; a list has them in no order of time."""
        about, event = manifest.get("regarding") or {}, manifest["metadata"]["uid"]
        warning = _Warning(event, manifest.get("reason") or "", manifest.get("note") or "", _told_at(manifest))
        uid, known = about.get("uid", ""), self._newest.get(about.get("uid", ""))
        if known is not None and (warning.told_at < known.told_at or warning.words.startswith(_NOTHING_NEW)):
            return
        self._newest[uid] = warning
        if warning != known:
            self._changed(about.get("namespace") or "", about.get("name") or "")

    def remove(self, manifest: Manifest) -> None:
        """An Event that is gone, as they all are after an hour."""
        uid = (manifest.get("regarding") or {}).get("uid", "")
        known = self._newest.get(uid)
        if known is not None and known.event == manifest["metadata"]["uid"]:
            del self._newest[uid]

    def retain(self, uids: Collection[str], resource_version: str) -> None:
        """These are all that there are; the version is of no use here, since nothing else writes into it."""
        self._newest = {pod: warning for pod, warning in self._newest.items() if warning.event in uids}


def _told_at(manifest: Manifest) -> str:
    """When an Event was told last, by one of the fields in which that may be; they compare as texts."""
    series = (manifest.get("series") or {}).get("lastObservedTime")
    return series or manifest.get("deprecatedLastTimestamp") or manifest.get("eventTime") or ""
