"""Every reason that the operator gives, in a phase, a condition, an attempt's record or an event, and what it means.

The list is closed: what comes from outside in other words (a kubelet's, a launcher's) is said by one of these, with
those words in the message. `docs/reasons.md` is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping

# What the kubelet says of a container that does not run.
CONTAINER: Mapping[str, str] = {
    "ErrImagePull": "the image cannot be pulled",
    "ImagePullBackOff": "the image could not be pulled; the kubelet tries again later",
    "InvalidImageName": "the image has no valid name: the job fails at once",
    "ErrImageNeverPull": "the image is not on the node, and its pull policy is Never",
    "ImageInspectError": "the image cannot be read on the node",
    "RegistryUnavailable": "the registry of the image cannot be reached",
    "SignatureValidationFailed": "the signature of the image is not valid",
    "FailedMount": "a volume of a pod cannot be mounted",
    "FailedAttachVolume": "a volume cannot be attached to a pod's node",
    "FailedCreatePodSandBox": "the node cannot make a pod's network or its sandbox",
    "CreateContainerConfigError": "a Secret, a ConfigMap or a key that the container needs is not there",
    "CreateContainerError": "the node cannot make the container",
    "RunContainerError": "the node cannot start the container",
    "CrashLoopBackOff": "an init container or a sidecar ends again and again",
    "PreStartHookError": "the hook before the container's start fails",
    "PostStartHookError": "the hook after the container's start fails",
}
CONTAINER_WAITING = "ContainerWaiting"

# How ranks and pods end, the classes of exits.
ENDS: Mapping[str, str] = {
    "AppError": "a rank raised an exception, or ended with a code that has no other meaning",
    "Crash": "a rank was ended by a signal",
    "Hang": "ranks made no step for too long, and their launcher ended them",
    "NumericGuard": "the loss or the weights were not finite",
    "PeerLost": "a rank lost its connection to another one, whose end is not known",
    "OOM": "a container ran out of memory",
    "ConfigError": "a rank found the job, its data or its checkpoint folder wrong, before its first step",
    "StorageFull": "checkpoints cannot be written: the volume is full, read-only or broken",
    "CheckpointUnusable": "there are checkpoints, and none verifies",
    "NoRestart": "the program asked not to be started again, or a newer attempt has taken over its folder",
    "Preempted": "the ranks were asked to stop, and saved",
    "Disrupted": "a pod was taken away: a drain, an eviction, a deletion",
    "NodeLost": "a node does not answer any more",
    "Succeeded": "all ranks finished",
}

_GROUPS: Mapping[str, Mapping[str, str]] = {
    "Before an attempt": {
        "Valid": "the job may have pods",
        "InvalidConfig": "the job or its configuration is wrong; the message names the fields",
        "WaitingForPredecessor": "pods of a deleted job of the same name are still there",
        "ClaimNotFound": "a claim that the job names is not there",
        "ClaimTerminating": "a claim that the job names is being deleted",
        "CheckpointVolumeNotShareable": "the claim for checkpoints cannot be mounted by all pods of the job",
        "CheckpointVolumeReadOnly": "nothing can be written to the claim for checkpoints",
        "DataVolumeNotShareable": "the claim of the data cannot be mounted by all pods of the job",
        "CheckpointPathInUse": "another job writes to the same folder",
        "TakeOverRefused": "the folder that `pet.dev/take-over` names is of a job that may still be there",
        "CreatingPods": "the objects of the job are being made, or none of its pods has any news yet",
        "CreateRefused": "the API server refuses an object of the job",
        "PodSecurityRefused": "the namespace's level of Pod Security refuses the pods; the message says what to set",
        "ServiceNameTaken": "a Service of the job's name belongs to somebody else",
        "ConfigMapNameTaken": "a ConfigMap of the name that the job needs belongs to somebody else",
        "ClaimNameTaken": "a claim of the name that the job needs belongs to somebody else",
        "PodNameTaken": "a pod of a name that the job needs belongs to somebody else",
    },
    "Starting": {
        "Unschedulable": "the scheduler has no node for a pod; the message is its own",
        "SchedulingGated": "a pod waits for a scheduling gate to be removed",
        "SchedulerError": "the scheduler failed to place a pod",
        "BindingVolumes": "a claim that is new has no volume yet",
        "WaitingForVolumeDetach": "a volume is still attached to another node, which may be lost",
        **CONTAINER,
        CONTAINER_WAITING: "a container does not run, for a reason that is in the message",
        "LauncherUnreachable": "the launcher in a pod does not answer the operator",
        "AwaitingFirstStep": "not all ranks have made a step; the message names one that is behind",
    },
    "Running": {
        "DeleteRefused": "the API server refuses to delete a pod that is to go; the message is its own",
        "Training": "all ranks make steps",
        "Evaluating": "the model is being evaluated",
        "Saving": "a checkpoint is being saved",
        "Stopping": "the ranks leave",
        "Finishing": "the last iteration is done, the ranks leave",
        "Hung": "ranks make no step; the message names the one that the others wait for",
        "Suspending": "the job is to be suspended: the ranks save and leave",
        "RestartRequested": "a restart was asked for: the ranks save and leave, or the next attempt begins",
        "Deleting": "the job is being deleted, and something keeps it from going: nothing more is done for it",
        "RestartIgnored": "the annotation `pet.dev/restart-requested` has no effect; the message says why",
        "SpecDrift": "the spec is not the one that the attempt was made from",
    },
    "How an attempt ended": ENDS,
    "The end of the job": {
        "AllRanksFinished": "all ranks ended with 0",
        "AlreadyComplete": "the newest checkpoint was already at the last iteration",
        "RestartsExhausted": "no restart is left of those that `spec.restart` allows without a new checkpoint",
        "RestartLoop": "too many restarts in the window, although checkpoints advance",
        "Deterministic": "the same failure at the same iteration twice",
        "DeadlineExceeded": "the job took longer than `spec.deadlines.activeSeconds`",
        "StartupDeadlineExceeded": "containers did not run within `spec.deadlines.startupSeconds`",
        "Suspended": "the job is suspended",
    },
    "Only in conditions": {
        "AllRanksStep": "of Running: all ranks have made a step",
        "NoStep": "of Hung: ranks make no step",
        "Verified": "of CheckpointHealthy: the newest checkpoint was checked against its manifest",
        "Unverified": "of CheckpointHealthy: the newest checkpoint has no manifest",
        "NoCheckpoint": "of CheckpointHealthy: none has been saved yet",
        "Pending": "the phase, of a condition that is not True",
        "Failed": "the phase, of a condition that is not True",
        "Unknown": "nothing is known yet",
    },
    "Only in events": {
        "Started": "an attempt begins",
        "Running": "all ranks have made their first step; in a condition that is not True the phase",
        "Starting": "the phase, of a condition that is not True",
        "Restarting": "an attempt has ended, and the next begins; in a condition that is not True the phase",
        "CheckpointLost": "the checkpoint that was told of last is gone, does not verify or was given up",
        "OftenDisrupted": "pods are taken away so often that the next attempts come later",
    },
    "Warnings about the job, as events and in Accepted": {
        "ScriptAlias": "the place of the configuration is an old name of a script",
        "NotCheckedForeignImage": "the image is not the stock one: its scripts and keys are not known here",
        "KeyNotChecked": "a key is left to the script of the image",
        "ConfigNotChecked": "the configuration is read in the pod, and checked there",
        "ScaleOfPixels": "the pixel mean does not fit the scale of the pixels",
        "WarmUpTooLong": "the warm-up is longer than the training",
        "NeverDecays": "the learning rate has steps that are never reached",
        "NoEffect": "a value has no effect",
        "TrainsOnTestData": "a data set is trained on and tested on",
        "CkptIgnored": "`MISC.CKPT` has no effect in a job",
        "ResumeOff": "`TRAIN.AUTO_RESUME` wins over `spec.checkpoint.resume`",
        "NotPersistent": "checkpoints have no volume",
        "ClaimNotOurs": "`onDelete` has no effect on a claim that the operator did not make",
    },
}
REASONS: Mapping[str, str] = {reason: meaning for group in _GROUPS.values() for reason, meaning in group.items()}


_HEAD = """# Reasons

Written by `make generate` from `pet_operator/domain/reasons.py`; do not edit. What `status.reason`, the conditions, the
records of attempts and the events of a job may say.
"""


def reference() -> str:
    """The list as Markdown: docs/reasons.md."""
    parts = [_HEAD]
    for group, reasons in _GROUPS.items():
        parts += [f"## {group}", "", "| reason | |", "| --- | --- |"]
        parts += [*(f"| `{reason}` | {meaning} |" for reason, meaning in reasons.items()), ""]
    return "\n".join(parts)
