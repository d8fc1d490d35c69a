"""Writes small data sets in their real on-disk formats."""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Random bytes, the same for the same arguments."""
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def idx_bytes(values: Tensor) -> bytes:
    """An idx file of unsigned bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 0x08, values.dim()]) + sizes + values.numpy().tobytes()


def write_mnist(
    folder: Path, split: str, images: Tensor, labels: Sequence[int], suffix: str = ".gz"
) -> tuple[Path, Path]:
    """Images [N, H, W] and labels as MNIST has them; returns the two files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, values in zip(IDX_FILES[split], (images, torch.tensor(labels, dtype=torch.uint8)), strict=True):
        path = folder / f"{name}{suffix}"
        data = idx_bytes(values)
        path.write_bytes(gzip.compress(data, 1) if suffix else data)
        paths.append(path)
    return paths[0], paths[1]


def cifar_bytes(images: Tensor, labels: Sequence[int], label_key: str = "labels") -> bytes:
    """A CIFAR batch byte for byte as Python 2 and its numpy pickled the published ones: protocol 2, byte strings."""

    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    def numbers(values: Sequence[int]) -> bytes:
        return b"".join(b"M" + value.to_bytes(2, "little") for value in values)

    pixels = images.numpy().tobytes()
    kind = (
        b"cnumpy\ndtype\n"
        + text("u1")
        + b"K\x00K\x01\x87R(K\x03"
        + text("|")
        + b"NNN"
        + b"J\xff\xff\xff\xff" * 2
        + b"K\x00tb"
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text("b") + b"\x87R"
        + b"(K\x01" + numbers([len(images), 3072]) + b"\x86" + kind + b"\x89"
        + b"T" + len(pixels).to_bytes(4, "little") + pixels + b"tb"
    )  # fmt: skip
    return b"\x80\x02}(" + text(label_key) + b"](" + numbers(labels) + b"e" + text("data") + array + b"u."


def png_bytes(image: Tensor, kind: str = "PNG") -> bytes:
    """uint8 [3, H, W] or [1, H, W] as an image file."""
    pixels = image.permute(1, 2, 0).numpy() if image.shape[0] == 3 else image[0].numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write_image_folder(split: Path, classes: Mapping[str, int], size: tuple[int, int] = (12, 16)) -> None:
    """`classes` gives the number of images of each class folder; images are noise, 0.png, 1.png, …"""
    for place, (name, count) in enumerate(classes.items()):
        (split / name).mkdir(parents=True)
        for number in range(count):
            (split / name / f"{number}.png").write_bytes(png_bytes(noise(3, *size, seed=100 * place + number)))
