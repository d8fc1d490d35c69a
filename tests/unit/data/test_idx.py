from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch
from harness.datasets import idx_bytes, noise
from hypothesis import given
from hypothesis import strategies as st

from pet.data.idx import read_idx


@pytest.mark.parametrize("name", ["images-idx3-ubyte", "images-idx3-ubyte.gz"])
@pytest.mark.parametrize("shape", [(7,), (0,), (2, 3, 5), (2, 3, 4, 5)])
def test_reads_what_was_written(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    values, path = noise(*shape), tmp_path / name
    path.write_bytes(gzip.compress(idx_bytes(values)) if name.endswith(".gz") else idx_bytes(values))
    read = read_idx(path)
    assert read.dtype == torch.uint8
    assert torch.equal(read, values)


def test_reads_the_published_file(fashion_mnist: Path) -> None:
    labels = read_idx(fashion_mnist / "FashionMNIST" / "t10k-labels-idx1-ubyte.gz")
    assert labels.bincount().tolist() == [1000] * 10


@given(cut=st.integers(0, 4 + 3 * 4 + 24 - 1))
def test_a_file_that_is_cut_short_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "images-idx3-ubyte"
    path.write_bytes(idx_bytes(noise(2, 3, 4))[:cut])
    with pytest.raises(ValueError, match=str(path)):
        read_idx(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (idx_bytes(noise(2, 3)) + b"\0", "holds 7 values, its header says 2x3"),
        (bytes([0, 0, 0x0D, 1, 0, 0, 0, 0]), "no idx file of unsigned bytes: it starts with 00000d01"),  # float32
        (b"<!DOCTYPE html>", "no idx file of unsigned bytes: it starts with 3c21444f"),
        (b"", "no idx file of unsigned bytes: it starts with nothing"),
        (bytes([0, 0, 0x08, 3, 0, 0]), "ends within its header"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"{path}.*{said}"):
        read_idx(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:30] + b"\xff" * 8 + data[38:],
        lambda data: b"plain" + data,
    ],
    ids=["cut short", "overwritten", "not gzip"],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(damage(gzip.compress(idx_bytes(noise(50, 20)))))  # type: ignore[operator]
    with pytest.raises(ValueError, match=f"{path} is damaged: "):
        read_idx(path)
