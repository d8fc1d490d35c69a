"""Carries out a decision's actions: shared objects one by one and in order, then pods side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from pet_operator.domain.constants import CLAIM, CONFIG_MAP, LABEL_JOB, LABEL_MANAGED_BY, MANAGED_BY, POD, SERVICE, Kind
from pet_operator.domain.decision import Action, Create, Delete, Refusal
from pet_operator.runtime.ports import ApiError, Gateway, Key, Manifest

_AT_ONCE = 16
# The user or an admin has to change something; trying again soon would say the same.
_REFUSALS = (400, 403, 404, 409, 422)
_MEND_TEMPLATE = "mend spec.template: delete the job and apply the mended file"
# All of the level `restricted` is kept but for this: whoever made an image knows whether its user is root.
_NOT_ROOT = "spec.template.spec.securityContext: {runAsNonRoot: true, runAsUser: <a user of the image>}"
_LEVEL = "have the namespace labelled with another pod-security.kubernetes.io/enforce"
_POD_SECURITY = "violates PodSecurity"
_TAKEN = {
    SERVICE: "ServiceNameTaken",
    CONFIG_MAP: "ConfigMapNameTaken",
    CLAIM: "ClaimNameTaken",
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
        shared = [action for action in actions if action.kind is not POD]
        errors = [error for action in shared if (error := await self._one(action, owner, owner_uid)) is not None]
        if not errors:
            pods = [self._one(action, owner, owner_uid) for action in actions if action.kind is POD]
            errors = [error for error in await asyncio.gather(*pods) if error is not None]
        if errors:
            raise ExceptionGroup(f"{len(errors)} of {len(actions)} requests for {owner} failed", errors)

    async def _one(self, action: Action, owner: Key, owner_uid: str) -> Exception | None:
        async with self._slots:
            try:
                if isinstance(action, Create):
                    await self._create(action, owner, owner_uid)
                else:
                    await self._delete(action, owner)
            except (ApiError, Refused, OSError, TimeoutError) as error:
                return error
        return None

    async def _create(self, action: Create, owner: Key, owner_uid: str) -> None:
        name = action.manifest["metadata"]["name"]
        what = f"{action.kind.kind} {name}"
        try:
            made: Manifest | None = await self._gateway.create(action.kind, action.manifest)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise _refused(action.kind, what, error) from error
            made = await self._gateway.get(action.kind, Key(owner.namespace, name))
            if made is not None and not _is_ours(made, owner, owner_uid):
                words = f"{what} exists and belongs to somebody else; delete it or rename the job"
                raise Refused(Refusal(_TAKEN[action.kind], words)) from error
        if made is not None and action.kind in (POD, SERVICE, CLAIM):
            self._seen(action.kind.plural, made)

    async def _delete(self, action: Delete, owner: Key) -> None:
        try:
            key, grace = Key(owner.namespace, action.name), 0 if action.force else None
            going = await self._gateway.delete(action.kind, key, uid=action.uid, grace=grace)
        except ApiError as error:
            if error.status != 404:  # gone; with 409 it is another one of this name, or is to be asked for again
                raise
            return
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


def _is_ours(manifest: Manifest, owner: Key, owner_uid: str) -> bool:
    """What has an owner must be owned by this very job; a claim has none and belongs to all jobs of the name."""
    metadata = manifest["metadata"]
    if references := metadata.get("ownerReferences"):
        return any(reference["uid"] == owner_uid for reference in references)
    labels = metadata.get("labels") or {}
    return labels.get(LABEL_JOB) == owner.name and labels.get(LABEL_MANAGED_BY) == MANAGED_BY
