from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness.datasets import cifar_bytes, noise

from pet.data.cifar import read_cifar


def test_reads_the_published_format_batch_after_batch(tmp_path: Path) -> None:
    images = noise(5, 3, 32, 32)
    paths = [tmp_path / "data_batch_1", tmp_path / "data_batch_2"]
    paths[0].write_bytes(cifar_bytes(images[:3], [6, 9, 0]))
    paths[1].write_bytes(cifar_bytes(images[3:], [3, 4]))
    read, labels = read_cifar(paths)
    assert torch.equal(read, images)
    assert read.dtype == torch.uint8
    assert labels == [6, 9, 0, 3, 4]


def test_row_31_takes_the_fine_labels_of_cifar_100(tmp_path: Path) -> None:
    path = tmp_path / "train"
    path.write_bytes(cifar_bytes(noise(2, 3, 32, 32), [99, 300], label_key="fine_labels"))
    assert read_cifar([path])[1] == [99, 300]


def test_reads_a_batch_that_a_newer_python_wrote(tmp_path: Path) -> None:
    path, images = tmp_path / "test_batch", noise(2, 3, 32, 32)
    path.write_bytes(pickle.dumps({b"data": images.reshape(2, -1).numpy(), b"labels": [1, 2]}))
    assert torch.equal(read_cifar([path])[0], images)


class Malicious:
    """Unpickled by the ordinary means, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_never_runs_what_a_pickle_names(tmp_path: Path) -> None:
    path, trace = tmp_path / "data_batch_1", tmp_path / "trace"
    path.write_bytes(pickle.dumps({b"data": Malicious(trace)}))
    with pytest.raises(ValueError, match=f"{path}.*asks for posix.mkdir, which no CIFAR batch needs"):
        read_cifar([path])
    assert not trace.exists()


ROWS = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ([1, 2], "holds a list instead of a CIFAR batch"),
        ({b"labels": [1, 2]}, "no array `data` of rows of 3072 bytes"),
        ({b"data": ROWS.astype(np.float32), b"labels": [1, 2]}, "no array `data` of rows of 3072 bytes"),
        ({b"data": ROWS[:, :100], b"labels": [1, 2]}, "no array `data` of rows of 3072 bytes"),
        ({b"data": ROWS}, "no list `labels` or `fine_labels`"),
        ({b"data": ROWS, b"labels": [1]}, "one number for each of 2 rows"),
        ({b"data": ROWS, b"labels": ["cat", "dog"]}, "one number for each of 2 rows"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, batch: Any, said: str) -> None:
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps(batch))
    with pytest.raises(ValueError, match=f"{path}.*{said}"):
        read_cifar([path])


@pytest.mark.parametrize("keep", [0, 10, 4000])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "data_batch_1"
    path.write_bytes(cifar_bytes(noise(2, 3, 32, 32), [1, 2])[:keep])
    with pytest.raises(ValueError, match=f"{path} cannot be read as a CIFAR batch"):
        read_cifar([path])
