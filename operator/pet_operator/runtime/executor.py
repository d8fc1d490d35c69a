"""Carries out a decision's actions: what the pods share side by side, then the pods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from pet_operator.domain.constants import (
    CLAIM,
    CONFIG_MAP,
    LABEL_JOB,
    LABEL_JOB_UID,
    LABEL_MANAGED_BY,
    MANAGED_BY,
    POD,
    SERVICE,
    Kind,
)
from pet_operator.domain.decision import DELETE_REFUSED, Action, Create, Delete, Refusal
from pet_operator.domain.policy import predecessor, volumes
from pet_operator.domain.views import owner_of
from pet_operator.runtime.ports import ApiError, Gateway, Key, Manifest

_AT_ONCE = 64
# The user or an admin has to change something; trying again soon would say the same.
_REFUSALS = (400, 403, 404, 422)
_MEND_TEMPLATE = "mend spec.template: delete the job and apply the mended file"
# All of the level `restricted` is kept but for this: whoever made an image knows whether its user is root.
_NOT_ROOT = "spec.template.spec.securityContext: {runAsNonRoot: true, runAsUser: <a user of the image>}"
_LEVEL = "have the namespace labelled with another pod-security.kubernetes.io/enforce"
_POD_SECURITY = "violates PodSecurity"
_TAKEN = {
    SERVICE: "ServiceNameTaken",
    CONFIG_MAP: "ConfigMapNameTaken",
    CLAIM: volumes.NAME_TAKEN,
    POD: "PodNameTaken",
}


class Refused(Exception):
    """The API server will not have an object as it is."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Executor:
    """`seen` is given each object as the API server answered it, by its plural, so that caches need not wait."""

    def __init__(self, gateway: Gateway, seen: Callable[[str, Manifest], None]) -> None:
        self._gateway = gateway
        self._seen = seen
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def execute(self, actions: Sequence[Action], owner: Key, owner_uid: str) -> None:
        """Do all of them, but make no pods where what they need could not be had. Raises ExceptionGroup."""
        for pods in (False, True):
            requests = [self._one(action, owner, owner_uid) for action in actions if (action.kind is POD) == pods]
            errors = [error for error in await asyncio.gather(*requests) if error is not None]
            if errors:
                raise ExceptionGroup(f"{len(errors)} of {len(actions)} requests for {owner} failed", errors)

    async def _one(self, action: Action, owner: Key, owner_uid: str) -> Exception | None:
        async with self._slots:
            try:
                if isinstance(action, Create):
                    await self._create(action, owner, owner_uid)
                else:
                    await self._delete(action, owner, owner_uid)
            except (ApiError, Refused, OSError, TimeoutError) as error:
                return error
        return None

    async def _create(self, action: Create, owner: Key, owner_uid: str) -> None:
        name = action.manifest["metadata"]["name"]
        what = f"{action.kind.kind} {name}"
        try:
            made = await self._gateway.create(action.kind, action.manifest)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise _refused(action.kind, what, error) from error
            found = await self._gateway.get(action.kind, Key(owner.namespace, name))
            if found is not None and not _is_ours(found, action.kind, owner, owner_uid):
                raise Refused(_taken(found, action.kind, owner)) from error
            if found is None or (action.kind is CONFIG_MAP and "deletionTimestamp" in found["metadata"]):
                raise  # it goes or is gone, and of a ConfigMap no watch would tell
            made = found
        if action.kind in (POD, SERVICE, CLAIM):
            self._seen(action.kind.plural, made)

    async def _delete(self, action: Delete, owner: Key, owner_uid: str) -> None:
        key, grace = Key(owner.namespace, action.name), 0 if action.force else None
        if not (uid := action.uid):
            found = await self._gateway.get(action.kind, key)
            if found is None or not _is_ours(found, action.kind, owner, owner_uid):
                return
            uid = found["metadata"]["uid"]
        try:
            going = await self._gateway.delete(action.kind, key, uid=uid, grace=grace)
        except ApiError as error:
            if error.status == 404:  # gone; with 409 it is another one of this name, or is to be asked for again
                return
            if error.status not in _REFUSALS:
                raise
            words = f"{action.kind.kind} {action.name} cannot be deleted: {error.message}"
            raise Refused(Refusal(DELETE_REFUSED, words)) from error
        if going is not None:
            self._seen(action.kind.plural, going)


def _refused(kind: Kind, what: str, error: ApiError) -> Exception:
    if error.status not in _REFUSALS:
        return error
    if kind is POD and _POD_SECURITY in error.message:
        words = f"{what}: {error.message}; {_MEND_TEMPLATE}, for runAsNonRoot with {_NOT_ROOT}, or {_LEVEL}"
        return Refused(Refusal("PodSecurityRefused", words))
    # Of a pod only the user's template can hold what the API server does not know how to read.
    remedy = f"; {_MEND_TEMPLATE}" if kind is POD and error.status == 400 else ""
    return Refused(Refusal("CreateRefused", f"{what}: {error.message}{remedy}"))


def _is_ours(manifest: Manifest, kind: Kind, owner: Key, owner_uid: str) -> bool:
    """What has an owner must be owned by this very job; a claim without one belongs to all jobs of the name."""
    metadata = manifest["metadata"]
    if references := metadata.get("ownerReferences"):
        return any(reference["uid"] == owner_uid for reference in references)
    return kind is CLAIM and _has_our_labels(metadata, owner)


def _has_our_labels(metadata: Manifest, owner: Key) -> bool:
    labels = metadata.get("labels") or {}
    return labels.get(LABEL_JOB) == owner.name and labels.get(LABEL_MANAGED_BY) == MANAGED_BY


def _taken(manifest: Manifest, kind: Kind, owner: Key) -> Refusal:
    """Whose the object is that has the name, and what to do."""
    metadata, what = manifest["metadata"], f"{kind.kind} {manifest['metadata']['name']}"
    if owner_of(manifest).get("name") == owner.name:
        return Refusal(predecessor.REASON, f"the {what} of the deleted job of this name is not gone yet")
    if not metadata.get("ownerReferences") and _has_our_labels(metadata, owner):
        left = f"{LABEL_JOB_UID}={metadata['labels'].get(LABEL_JOB_UID, '')}"
        words = "was left by a deleted job of this name (kubectl delete --cascade=orphan); once what it saves is saved,"
        return Refusal(_TAKEN[kind], f"{what} {words} kubectl delete pods,services,configmaps -l {left}")
    return Refusal(_TAKEN[kind], f"{what} exists and belongs to somebody else; delete it or rename the job")
