"""Ways in which a file of a checkpoint folder goes bad."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

from harness.stores import overwrite
from pet.store.names import manifest_of

# damage(folder, data file, another checkpoint's data file, whether the manifest is meant, a source of chance).
# Raises FileNotFoundError or ValueError, with nothing changed, if a file that it needs is gone or too short.
Damage = Callable[[Path, str, str, bool, random.Random], None]


def _changed(change: Callable[[bytearray, random.Random], object]) -> Damage:
    def damage(folder: Path, file: str, other: str, manifest: bool, chance: random.Random) -> None:
        path = folder / (manifest_of(file) if manifest else file)
        data = bytearray(path.read_bytes())
        change(data, chance)
        overwrite(path, bytes(data))

    return damage


def _flip(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _truncate(data: bytearray, chance: random.Random) -> None:
    # At least two bytes go: a manifest without its line end is still whole.
    del data[chance.randrange(1, len(data) - 1) :]


def _zero_page(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start : start + 64] = bytes(len(data[start : start + 64]))


def _grow(data: bytearray, chance: random.Random) -> None:
    data += b"\0" * chance.randrange(1, 100)


def _missing(folder: Path, file: str, other: str, manifest: bool, chance: random.Random) -> None:
    (folder / (manifest_of(file) if manifest else file)).unlink()


def _of_another(folder: Path, file: str, other: str, manifest: bool, chance: random.Random) -> None:
    name, source = (manifest_of(file), manifest_of(other)) if manifest else (file, other)
    overwrite(folder / name, (folder / source).read_bytes())


def _whole_other_pair(folder: Path, file: str, other: str, manifest: bool, chance: random.Random) -> None:
    contents = [(folder / source).read_bytes() for source in (other, manifest_of(other))]
    for name, content in zip((file, manifest_of(file)), contents, strict=True):
        overwrite(folder / name, content)


def _swapped_pairs(folder: Path, file: str, other: str, manifest: bool, chance: random.Random) -> None:
    pairs = ((file, other), (manifest_of(file), manifest_of(other)))
    for name in (name for pair in pairs for name in pair):
        (folder / name).stat()  # all or nothing
    for first, second in pairs:
        os.rename(folder / first, folder / "aside")
        os.rename(folder / second, folder / first)
        os.rename(folder / "aside", folder / second)


DAMAGES: dict[str, Damage] = {
    "flipped bit": _changed(_flip),
    "truncated": _changed(_truncate),
    "page of zeros": _changed(_zero_page),
    "grown": _changed(_grow),
    "empty": _changed(lambda data, chance: data.clear()),
    "missing": _missing,
    "file of another": _of_another,
    "pair of another": _whole_other_pair,
    "swapped pairs": _swapped_pairs,
}
