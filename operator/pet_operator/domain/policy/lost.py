"""Pods that nobody answers for any more: their node is gone, or cut off, and no kubelet will say that they ended.

How long that has been so is told by durations that were seen without a gap: no clock of another machine is compared,
and no time counts in which this operator or the API server was away, or most nodes lost their way to it together.
"""

from __future__ import annotations

from pet_operator.domain.decision import Observed
from pet_operator.domain.ends import DISRUPTED, NODE_LOST, failure_of
from pet_operator.domain.status import Failure
from pet_operator.domain.views import PodView

LOST_SECONDS = 30.0
# From how many nodes on that are not ready, and what part of all, they have not failed each by itself. Kubernetes' own
# controller goes by the same (--unhealthy-zone-threshold), and where no node is ready evicts nothing either.
_TOGETHER, _PERCENT = 3, 55
_CUT_OFF = "; most nodes of the cluster are not ready, so that none counts as lost before they are again"
_MOMENT = 0.001  # what a timer may be early by


def lost(observed: Observed, pod: PodView) -> Failure | None:
    """That the pod is lost, and how one knows; None while its kubelet may still answer for it."""
    left = _seconds_left(observed, pod)
    if left is None or left > 0:
        return None
    node = observed.unready.get(pod.node)
    if node is not None and node.seconds + _MOMENT >= LOST_SECONDS:
        words = f"the node has not been ready for {LOST_SECONDS:.0f} s"
        words += f" ({node.message})" if node.message else ""
    else:
        words = f"the node has not ended the pod {LOST_SECONDS:.0f} s after its grace of {pod.grace_seconds} s"
    return failure_of(pod, DISRUPTED, NODE_LOST, words)


def are_cut_off(unready: int, nodes: int) -> bool:
    """Whether so many of a cluster's nodes are not ready that it is their way to the API server that is cut: all, or
    most of them. What runs there goes on, and where none answers, none could take it over."""
    most = unready >= _TOGETHER and 100 * unready >= _PERCENT * nodes
    return unready > 0 and (unready == nodes or most)


def with_doubts(observed: Observed, message: str) -> str:
    """The message with why nothing is done about pods of the job on such nodes, without that for any other job."""
    said = message.removesuffix(_CUT_OFF)
    concerns = observed.cut_off and any(pod.node in observed.unready and not pod.over for pod in observed.pods)
    return f"{said}{_CUT_OFF}" if concerns else said


def next_loss(observed: Observed) -> float | None:
    """Seconds until the next pod of the job counts as lost if nothing else is heard; None: none is about to."""
    waits = [_seconds_left(observed, pod) for pod in (*observed.pods, *observed.predecessors)]
    return min((wait for wait in waits if wait is not None and wait > 0), default=None)


def in_doubt(observed: Observed) -> tuple[float, str] | None:
    """Of a node that is not ready, on which a pod of the attempt has not ended: in how many seconds it counts as lost,
    and what is said of it; None if there is none."""
    for pod in observed.current:
        node = observed.unready.get(pod.node)
        if node is not None and not pod.ended and (left := _seconds_left(observed, pod)):
            return left, f"node {pod.node} of {pod.name} is not ready{f' ({node.message})' if node.message else ''}"
    return None


def _seconds_left(observed: Observed, pod: PodView) -> float | None:
    """0 once it is lost; None while there is no sign of it."""
    if pod.over or not pod.node:
        return None
    signs = []
    node, leaving = observed.unready.get(pod.node), observed.leaving.get(pod.uid)
    if node is not None:
        signs.append(LOST_SECONDS - node.seconds)
    if leaving is not None:
        signs.append(pod.grace_seconds + LOST_SECONDS - leaving)
    left = min(signs, default=None)
    return left if left is None or left > _MOMENT else 0.0
