"""The manifest: the small file whose appearance beside a checkpoint's data commits it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from pet.store.errors import CheckpointUnusable, Corrupt
from pet.store.names import manifest_of, parse_data
from pet.store.sealed import seal, take, unseal

FORMAT = 1


class NewerFormat(CheckpointUnusable):
    """The manifest is intact and was written by a later version of Pet: the folder is left as it is."""


@dataclass(frozen=True)
class Manifest:
    """What a committed checkpoint holds, and the circumstances that decide whether a resume is bit-exact.

    `iteration` is the last finished step, `bytes` and `crc32` are those of the data file, `threads` is torch's number
    of threads, `bucket_bytes` the size of DDP's gradient buckets (0 in one process).
    """

    iteration: int
    file: str
    bytes: int
    crc32: int
    world_size: int
    config_hash: str
    torch: str
    threads: int
    bucket_bytes: int
    owner_uid: str
    attempt: int
    restart: int

    @property
    def name(self) -> str:
        """The manifest's own file name."""
        return manifest_of(self.file)


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest file's content."""
    return seal({"format": FORMAT} | {_key(field.name): getattr(manifest, field.name) for field in fields(manifest)})


def parse_manifest(data: bytes, name: str) -> Manifest:
    """Read the content of the manifest that was found as `name`.

    Raises Corrupt if it does not prove itself or belongs to another name, NewerFormat if it is of a later format.
    """
    values = unseal(data)
    if take(values, "format", int) > FORMAT:
        raise NewerFormat(f"{name} has format {values['format']}, this version of Pet reads {FORMAT}")
    # The annotations are strings here; every field is either a number or a text.
    kinds = {field.name: int if field.type == "int" else str for field in fields(Manifest)}
    manifest = Manifest(**{field: take(values, _key(field), kind) for field, kind in kinds.items()})
    check_name(manifest, name)
    return manifest


def check_name(manifest: Manifest, name: str) -> None:
    """Raise Corrupt unless the manifest was written for the name under which it was found.

    A pair of files copied over another pair is whole, but it is not the checkpoint that its name promises.
    """
    if manifest.name != name:
        raise Corrupt(f"it is the manifest of {manifest.file}")
    data = parse_data(manifest.file)
    if data is None:
        raise Corrupt(f"{manifest.file!r} is not the name of a checkpoint")
    if data.iteration not in (None, manifest.iteration):
        raise Corrupt(f"it says iteration {manifest.iteration}")


def _key(field: str) -> str:
    """The JSON key of a field: world_size -> worldSize."""
    head, *tail = field.split("_")
    return head + "".join(word.capitalize() for word in tail)
