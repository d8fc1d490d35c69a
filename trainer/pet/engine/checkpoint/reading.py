"""Reading a file of weights or a checkpoint: never a full unpickling, whatever the file's age."""

from __future__ import annotations

import errno
import os
import pickle
import time
import zlib
from collections.abc import Iterator
from typing import Any

import torch

from pet.engine.checkpoint import old_pickle
from pet.store.files import READ_RETRIES, RETRY_SECONDS, open_file, patiently

# A network volume may show a file late to another node than the one that wrote it.
_LATE = frozenset({errno.EIO, errno.ENOENT, errno.ESTALE})
_ZIP = b"PK\x03\x04"  # what a file of torch.save begins with since torch 1.6


def read_checkpoint(path: str, size: int | None = None) -> dict[str, Any]:
    """The dictionary in a file of `torch.save`, with its tensors on the CPU, mapped from the file where its format
    allows.

    With `size`, its size in bytes, a file that is not there yet is waited for; a read that the disk refuses is tried
    again. Raises OSError, and ValueError if the file cannot be read, or holds no dictionary or something that only a
    full unpickling, and thus the execution of what it holds, reads.
    """
    if size is not None:
        _await(path, size)
    try:
        state = _state(path)
    except (OSError, MemoryError):
        raise
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} holds more than tensors and plain values: {error}") from error
    except Exception as error:  # without a checksum, damage is whatever a reader then stumbles over
        raise ValueError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, not a dictionary of tensors")
    return state


def _state(path: str) -> Any:
    """By torch's own reader; what is older than Pet 0.7, by the one that knows its names."""
    try:
        return patiently(lambda: _load(path))
    except pickle.UnpicklingError:
        return old_pickle.load(path)


def _load(path: str) -> Any:
    with open_file(path) as file:
        mapped = file.read(len(_ZIP)) == _ZIP  # zipfile.is_zipfile takes a read that fails for a no
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except SystemError as error:  # torch's reader may look on after a read that failed
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise


def _await(path: str, size: int) -> None:
    for attempt in range(READ_RETRIES + 1):
        if attempt:
            time.sleep(RETRY_SECONDS)
        try:
            found = os.stat(path).st_size
        except OSError as error:
            if error.errno not in _LATE or attempt == READ_RETRIES:
                raise
            continue
        if found == size:
            return
    raise OSError(errno.EIO, f"{found} bytes instead of {size}", path)


def tensor_crc(value: Any) -> int:
    """CRC32 of the bytes of all tensors in nested dictionaries and lists, in their order."""
    crc = 0
    for tensor in _tensors(value):
        crc = zlib.crc32(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data, crc)
    return crc


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value.detach().cpu()
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)
