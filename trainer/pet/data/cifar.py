"""The Python batches of CIFAR-10 and CIFAR-100: pickled dicts, read without ever running what a pickle names."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_IMAGE = (3, 32, 32)
_reconstruct = np.empty(0).__reduce__()[0]  # the function that pickled arrays name, wherever this numpy keeps it
# All that the published files need.
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}


def read_cifar(paths: Sequence[Path]) -> tuple[Tensor, list[int]]:
    """All batches in order: images uint8 [N, 3, 32, 32] and labels (the fine ones of CIFAR-100).

    Raises ValueError, naming the file, if one is no CIFAR batch or asks for anything but a numpy array.
    """
    batches = [_read_batch(path) for path in paths]
    images = torch.cat([images for images, _ in batches])
    return images, [label for _, labels in batches for label in labels]


def _read_batch(path: Path) -> tuple[Tensor, list[int]]:
    try:
        batch = _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read as a CIFAR batch: {error}") from error
    if not isinstance(batch, dict):
        raise ValueError(f"{path} holds a {type(batch).__name__} instead of a CIFAR batch")
    data = batch.get(b"data")
    labels = batch.get(b"labels", batch.get(b"fine_labels"))
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (np.prod(_IMAGE),):
        raise ValueError(f"{path} has no array `data` of rows of 3072 bytes")
    if not isinstance(labels, list) or len(labels) != len(data) or not all(isinstance(label, int) for label in labels):
        raise ValueError(f"{path} has no list `labels` or `fine_labels` with one number for each of {len(data)} rows")
    return torch.from_numpy(data.copy()).view(-1, *_IMAGE), labels


class _ArrayUnpickler(pickle.Unpickler):
    """Knows numpy arrays and nothing else: a data set must not run code."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR batch needs") from None
