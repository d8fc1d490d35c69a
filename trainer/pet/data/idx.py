"""The idx format of MNIST and its relatives: a four-byte magic, big-endian sizes, then the values."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

_UNSIGNED_BYTES = 0x08


def read_idx(path: Path) -> Tensor:
    """A uint8 tensor of the shape that the file's header names; gzipped if the name ends in `.gz`.

    Raises ValueError if the file is damaged, shortened, or holds another type than unsigned bytes.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if len(data) < 4 or data[:3] != bytes([0, 0, _UNSIGNED_BYTES]):
        raise ValueError(f"{path} is no idx file of unsigned bytes: it starts with {data[:4].hex() or 'nothing'}")
    dimensions = data[3]
    header = 4 + 4 * dimensions
    if len(data) < header:
        raise ValueError(f"{path} ends within its header")
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    if len(data) - header != math.prod(shape):
        raise ValueError(f"{path} holds {len(data) - header} values, its header says {'x'.join(map(str, shape))}")
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)[header:].view(shape)
