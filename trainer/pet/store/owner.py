"""Whose a checkpoint folder is: the owner record, and the rules by which a job may take a folder over."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, replace

from pet.config.environment import JobEnvironment
from pet.config.errors import ConfigError, Problem
from pet.store.errors import Fenced
from pet.store.files import Digest
from pet.store.sealed import seal, take, unseal

LOCAL = "local-"
_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class ForeignOwner(ConfigError):
    """The checkpoint folder belongs to somebody else and was left as it is (exit code 78)."""


@dataclass(frozen=True)
class Owner:
    """The record in a folder's OWNER file. `legacy` is the size and CRC32 of the `model_latest.pth` that an older Pet
    left and that this folder's training began with."""

    cluster: str
    namespace: str
    name: str
    uid: str
    attempt: int
    restart: int
    legacy: Digest | None = None

    @property
    def generation(self) -> tuple[int, int]:
        """Orders the starts of one job: (attempt, restart)."""
        return self.attempt, self.restart

    @property
    def local(self) -> bool:
        """Whether the job was started by hand, outside a cluster."""
        return self.uid.startswith(LOCAL)

    def __str__(self) -> str:
        job = "/".join(part for part in (self.namespace, self.name) if part)
        return f"job {job} (uid {self.uid}, attempt {self.attempt}, restart {self.restart})"


@dataclass(frozen=True)
class Identity:
    """The job that asks for a folder. `uid` is empty and `attempt` None when it is started by hand."""

    cluster: str = ""
    namespace: str = ""
    name: str = "local"
    uid: str = ""
    attempt: int | None = None
    takeover_uid: str = ""

    def __post_init__(self) -> None:
        if self.uid and not _UID.fullmatch(self.uid):
            raise ConfigError.of("PETJOB_UID", f"{self.uid!r} is not a uid: use letters, digits, '.', '_' and '-'")

    @classmethod
    def of(cls, environment: JobEnvironment) -> Identity:
        """The job that the environment tells of."""
        return cls(
            environment.cluster_uid,
            environment.namespace,
            environment.name,
            environment.uid,
            environment.attempt,
            environment.takeover_uid,
        )

    @property
    def local(self) -> bool:
        """Whether the job was started by hand, outside a cluster."""
        return not self.uid or self.uid.startswith(LOCAL)

    @property
    def folder_field(self) -> str:
        """What its user names the checkpoint folder by."""
        return "MISC.CKPT" if self.local else "spec.checkpoint.path"


def succeed(identity: Identity, found: Owner | None, *, new_uid: bool = False) -> Owner:
    """The record under which `identity` may use a folder whose record is `found`; nothing is written.

    A start of the same attempt is its next restart, a start of a newer attempt begins with restart 0. With `new_uid`
    a job that is started by hand does not go on under the uid that it finds.

    Raises ForeignOwner for a folder of somebody else, Fenced if a newer attempt of this job has it.
    """
    if found is None:
        return _record(identity, identity.uid or new_local_uid(), identity.attempt or 1)
    uid = identity.uid or (new_local_uid() if new_uid or not found.local else found.uid)
    attempt = found.attempt + 1 if identity.attempt is None else identity.attempt
    if found.uid != uid:
        if not _may_take_over(identity, found):
            raise ForeignOwner([_refusal(identity, found)])
        return _record(identity, uid, attempt, legacy=found.legacy)
    if attempt < found.attempt:
        raise Fenced(f"attempt {attempt} came too late: the checkpoint folder is used by {found}")
    restart = found.restart + 1 if attempt == found.attempt else 0
    return _record(identity, uid, attempt, restart, found.legacy)


def new_local_uid() -> str:
    """A uid for a job that is started by hand."""
    return f"{LOCAL}{uuid.uuid4()}"


def is_own(found: Owner, mine: Owner) -> bool:
    """Whether `mine` may still write in a folder whose record is now `found`."""
    return found.uid == mine.uid and found.generation <= mine.generation


def encode_owner(owner: Owner) -> bytes:
    """The OWNER file's content."""
    legacy = {"legacy": {"bytes": owner.legacy.bytes, "crc32": owner.legacy.crc32}} if owner.legacy else {}
    return seal(
        {
            "cluster": owner.cluster,
            "namespace": owner.namespace,
            "name": owner.name,
            "uid": owner.uid,
            "attempt": owner.attempt,
            "restart": owner.restart,
            **legacy,
        }
    )


def parse_owner(data: bytes) -> Owner:
    """Read the OWNER file's content. Raises Corrupt if it does not prove itself."""
    values = unseal(data)
    owner = Owner(
        *(take(values, key, str) for key in ("cluster", "namespace", "name", "uid")),
        *(take(values, key, int) for key in ("attempt", "restart")),
    )
    if "legacy" not in values:
        return owner
    legacy = take(values, "legacy", dict)
    return replace(owner, legacy=Digest(take(legacy, "bytes", int), take(legacy, "crc32", int)))


def _record(identity: Identity, uid: str, attempt: int, restart: int = 0, legacy: Digest | None = None) -> Owner:
    return Owner(identity.cluster, identity.namespace, identity.name, uid, attempt, restart, legacy)


def _may_take_over(identity: Identity, found: Owner) -> bool:
    if identity.takeover_uid and found.uid == identity.takeover_uid:
        return identity.local or identity.cluster == found.cluster  # in another one nobody here sees whether it is gone
    if identity.local or found.local:
        return identity.local and found.local
    # The deleted predecessor of this job: deleting and applying the same file again resumes.
    return (identity.cluster, identity.namespace, identity.name) == (found.cluster, found.namespace, found.name)


def _refusal(identity: Identity, found: Owner) -> Problem:
    if identity.local:
        return Problem(
            identity.folder_field,
            f"the checkpoint folder belongs to {found}: give another MISC.CKPT, set "
            "PETJOB_RESUME to the folder's path to begin with its newest model, or set "
            f"PETJOB_TAKEOVER_UID={found.uid} to go on as that job",
        )
    if found.local or identity.cluster != found.cluster:
        take_over = "; it cannot be taken over, since nobody in this cluster sees whether it has ended"
    else:
        take_over = f", or, if that job is gone, set the annotation pet.dev/take-over: {found.uid}"
    return Problem(
        identity.folder_field,
        f"the checkpoint folder belongs to {found}: give another checkpoint.path, or "
        f"set checkpoint.resume to the folder's path to begin with its newest model{take_over}",
    )
