"""Replacing a small file as a whole: a reader sees the old text or the new one, never a part."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def replace_text(path: str | Path, text: str, *, durable: bool = False) -> None:
    """Write `text` beside `path` and rename it into place. Raises OSError and then leaves `path` as it was.

    `durable`: also after a power cut it is one of both texts, and not an empty file.
    """
    replace_bytes(path, text.encode(), durable=durable)


def replace_bytes(path: str | Path, data: bytes, *, durable: bool = False) -> None:
    """The same with bytes."""
    # Not by methods of Path: the metric file is replaced again and again, and they cost more than the disk.
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
