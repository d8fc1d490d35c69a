"""A pod of a training on a cluster that is lost, and all that must hold after it. Used with few cases and with many."""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from testbed.namespace import Manifest
from testbed.pods import pid
from testbed.process_node import ProcessNodes

from harness.cluster import Jobs
from harness.cluster_training import NAME, ClusterTraining
from harness.interruptions import check_end
from harness.training import Training

KINDS = ("killed", "deleted", "forced")


@dataclass(frozen=True)
class Loss:
    """Pod `index` of a job with one rank in each pod is lost while its rank is in step `step`."""

    kind: str
    pods: int
    index: int
    step: int

    def __str__(self) -> str:
        return f"{self.kind}-pod-{self.index}-of-{self.pods}-at-{self.step}"


def losses(seed: int, number: int) -> list[Loss]:
    """Each kind as often as the others, with one pod and with two, at random."""
    dice = random.Random(seed)
    cases = []
    for place in range(number):
        pods = 1 + dice.randrange(2)
        cases.append(Loss(KINDS[place % len(KINDS)], pods, dice.randrange(pods), dice.randrange(2, Training.steps)))
    return cases


def check(loss: Loss, folder: Path, data: Path, jobs: Jobs, nodes: ProcessNodes, expected: Training) -> None:
    """Lose the pod; the job succeeds in its second attempt with what the uninterrupted training `expected` has. Ranks
    that are asked to leave in their last steps may be done before they have agreed where."""
    training = ClusterTraining(folder, data, ranks=loss.pods, pods=loss.pods, jobs=jobs, nodes=nodes)
    held = {"folder": str(folder), "step": loss.step, "node_index": loss.index}
    training.hooks = [{"type": "harness.gates:Held", "args": held}]
    jobs.apply(training.manifest())
    training.wait_for("held")
    lost = jobs.pods(NAME)[loss.index]
    lose(jobs, lost, loss.kind)

    status = jobs.wait(NAME, "in its second attempt", lambda status: status["attempt"] == 2 or finished(loss, status))
    if status["attempt"] == 1:
        assert training.steps_done == list(range(1, training.steps + 1))
        check_end(training, expected)
        return
    failure = status["failure"]
    assert (failure["pod"], failure["nodeIndex"]) == (lost["metadata"]["name"], loss.index)
    status = jobs.reaches(NAME, "Succeeded")
    first, second = status["attempts"]
    assert (first["attempt"], second["attempt"]) == (1, 2)
    check_first_attempt(loss, lost, first)
    assert (second["reason"], second["exitCode"], second["toIteration"]) == ("Succeeded", 0, training.steps)
    check_steps(loss, training, second.get("fromIteration", 0))
    check_end(training, expected)


def lose(jobs: Jobs, pod: Manifest, kind: str) -> None:
    """By the death of its processes, by a deletion, or by one that does not wait for them."""
    if kind == "killed":
        os.kill(pid(pod), signal.SIGKILL)
    else:
        flags = ("--force", "--grace-period=0") if kind == "forced" else ()
        jobs.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false", *flags)


def finished(loss: Loss, status: Manifest) -> bool:
    """Whether the ranks finished instead of leaving; only a deletion lets them."""
    return loss.kind == "deleted" and status["phase"] == "Succeeded"


def check_first_attempt(loss: Loss, lost: Manifest, first: Manifest) -> None:
    """What the status tells of its end."""
    if loss.kind == "killed":
        assert (first["reason"], first["exitCode"], first["node"]) == ("Crash", 137, lost["spec"]["nodeName"])
        assert lost["metadata"]["name"] in first["message"]
    else:
        assert first["reason"] in ("Preempted", "Disrupted")


def check_steps(loss: Loss, training: ClusterTraining, resumed: int) -> None:
    """After a deletion no step is done twice; after a death those since the newest checkpoint are. Ranks of a pod that
    is removed by force may do either: SIGKILL follows SIGTERM so soon that it may come before their checkpoint."""
    every, steps, held = list(range(1, training.steps + 1)), training.steps_done, loss.step - 1
    done = next((step for step, following in pairwise(steps) if following <= step), resumed)
    newest = done // training.period * training.period
    died, saved = resumed == newest, resumed == done > held  # it may take the ranks a step to agree to leave
    right = {"killed": died and done == held, "deleted": saved, "forced": saved or (died and done >= held)}
    assert right[loss.kind], (steps, resumed)
    assert steps == [*every[:done], *every[resumed:]], resumed
