from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from harness.datasets import cifar_bytes, idx_bytes, noise, write_image_folder, write_mnist

from pet.config import ConfigError
from pet.data.catalogue import FILE_SETS, Format, resolve
from pet.data.fetch.registry import DATASETS
from pet.data.samples import open_samples


def refused(name: str, root: Path, key: str = "TRAIN.DATASETS") -> str:
    """The message of resolving or opening; checks that it stands under the key that named the data set."""
    with pytest.raises(ConfigError) as caught:
        open_samples(resolve(name, root, key))
    [problem] = caught.value.problems
    assert problem.field == key
    assert repr(name) in problem.message
    return problem.message


@pytest.mark.parametrize("inner", ["", "raw"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_found_packed_or_not_there_or_in_raw(tmp_path: Path, inner: str, suffix: str) -> None:
    folder = tmp_path / "FashionMNIST"
    paths = write_mnist(folder / inner, "train", noise(3, 4, 5), [0, 9, 1], suffix)
    entry = resolve("fashion_mnist_train", tmp_path)
    assert (entry.format, entry.folder, entry.split, entry.files, entry.num_classes) == (
        Format.IDX, folder, "train", paths, 10,
    )  # fmt: skip
    samples = open_samples(entry)
    assert (len(samples), samples.num_classes) == (3, 10)
    assert samples.image(1).tolist() == noise(3, 4, 5)[1:2].tolist()
    assert [samples.label(number) for number in range(3)] == [0, 9, 1]
    assert samples.where(2) == str(paths[0])


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-py"])
def test_cifar_batches_are_found_there_or_in_the_folder_of_their_archive(tmp_path: Path, inner: str) -> None:
    folder = tmp_path / "CIFAR10" / inner
    folder.mkdir(parents=True)
    for number in range(1, 6):
        (folder / f"data_batch_{number}").write_bytes(cifar_bytes(noise(1, 3, 32, 32, seed=number), [number]))
    (folder / "test_batch").write_bytes(cifar_bytes(noise(2, 3, 32, 32), [7, 8]))
    train, test = open_samples(resolve("cifar10_train", tmp_path)), open_samples(resolve("cifar10_val", tmp_path))
    assert [train.label(number) for number in range(5)] == [1, 2, 3, 4, 5]
    assert train.image(4).tolist() == noise(1, 3, 32, 32, seed=5)[0].tolist()
    assert len(test) == 2


@pytest.mark.parametrize(("name", "key", "label"), [("cifar10_val", "labels", 7), ("cifar100_val", "fine_labels", 93)])
def test_row_31_the_name_of_the_data_set_says_which_cifar_it_is(
    tmp_path: Path, name: str, key: str, label: int
) -> None:
    folder = tmp_path / name.partition("_")[0].upper()
    folder.mkdir()
    file = "test_batch" if name == "cifar10_val" else "test"
    (folder / file).write_bytes(cifar_bytes(noise(1, 3, 32, 32), [label], label_key=key))
    assert open_samples(resolve(name, tmp_path)).label(0) == label


def test_any_other_name_is_an_image_folder(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "my_birds" / "val", {"crow": 2, "owl": 1})
    samples = open_samples(resolve("my_birds_val", tmp_path, "TEST.DATASETS"))
    assert (len(samples), samples.num_classes) == (3, 2)
    assert samples.image(0).shape == (3, 12, 16)
    assert samples.where(2) == str(tmp_path / "my_birds" / "val" / "owl" / "0.png")


def test_missing_files_say_where_they_were_looked_for_and_how_to_get_them(tmp_path: Path) -> None:
    folder = tmp_path / "the data" / "FashionMNIST"
    write_mnist(folder, "train", noise(1, 2, 2), [0])[1].unlink()
    message = refused("fashion_mnist_train", tmp_path / "the data")
    assert f"no train-labels-idx1-ubyte in {folder} or {folder / 'raw'}." in message
    expected = "the MNIST idx files train-images-idx3-ubyte, train-labels-idx1-ubyte (each with or without .gz)"
    assert expected in message
    assert message.endswith(f"To get them: pet data fetch fashion-mnist --data '{tmp_path / 'the data'}'")


def test_missing_batches_ask_for_the_python_version(tmp_path: Path) -> None:
    message = refused("cifar100_test", tmp_path, "TEST.DATASETS")
    assert f"no test in {tmp_path / 'CIFAR100'} or {tmp_path / 'CIFAR100' / 'cifar-100-python'}" in message
    assert "the CIFAR Python batches test, as published" in message
    assert message.endswith(f"Put the published files below {tmp_path / 'CIFAR100'}")


def test_a_missing_folder_says_which_layout_is_expected(tmp_path: Path) -> None:
    message = refused("imagenet_val", tmp_path)
    assert f"{tmp_path / 'ImageNet' / 'val'} is no folder" in message
    assert f"Expected layout: {tmp_path / 'ImageNet'}/{{train,val,test}}/<class>/<image files>" in message


@pytest.mark.parametrize("name", ["fashion_mnist", "fashionmnist", "fashion_mnist_training", "cifar10"])
def test_a_name_without_a_split_says_how_names_are_made(tmp_path: Path, name: str) -> None:
    message = refused(name, tmp_path)
    assert "must be <name>_train, <name>_val or <name>_test" in message
    assert f"did you mean {'cifar10' if name == 'cifar10' else 'fashion_mnist'}?" in message


def test_a_misspelt_name_gets_the_nearest_one(tmp_path: Path) -> None:
    assert "did you mean fashion_mnist?" in refused("fashoin_mnist_train", tmp_path)
    (tmp_path / "Birds").mkdir()
    assert "did you mean Birds?" in refused("birds_train", tmp_path)


def test_a_missing_data_set_says_how_another_folder_is_given(tmp_path: Path) -> None:
    for name in ("birds_train", "cifar10_train"):
        assert "given by --data or PETJOB_DATA_DIR" in refused(name, tmp_path)


def _cut(data: bytes) -> bytes:
    return data[:-1]


def _as_floats(data: bytes) -> bytes:
    return bytes([0, 0, 0x0D]) + data[3:]


@pytest.mark.parametrize(
    ("damage", "said"), [(_cut, "holds 11 values, its header says 3x2x2"), (_as_floats, "00000d03")]
)
def test_damaged_files_are_named_with_the_remedy(tmp_path: Path, damage: object, said: str) -> None:
    images, _ = write_mnist(tmp_path / "FashionMNIST", "train", noise(3, 2, 2), [0, 1, 2])
    images.write_bytes(gzip.compress(damage(idx_bytes(noise(3, 2, 2)))))  # type: ignore[operator]
    message = refused("fashion_mnist_train", tmp_path)
    assert str(images) in message
    assert said in message
    assert message.endswith(f"pet data fetch fashion-mnist --data {tmp_path}")


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (noise(3, 2, 2), [0, 1], "hold 3x2x2 and 2 values instead of N images [N, H, W] and N labels"),
        (noise(3, 4), [0, 1, 2], "hold 3x4 and 3 values instead of"),
        (noise(3, 2, 2), [0, 10, 2], "labels must be 0 to 9"),
        (noise(0, 2, 2), [], "holds no samples"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path: Path, images: object, labels: list[int], said: str) -> None:
    paths = write_mnist(tmp_path / "MNIST", "train", images, labels)  # type: ignore[arg-type]
    message = refused("mnist_train", tmp_path)
    assert said in message
    assert str(paths[0]) in message or str(paths[1]) in message


def test_what_can_be_fetched_and_what_the_errors_advise_are_the_same() -> None:
    fetchable = {name: files.fetch_name for name, files in FILE_SETS.items() if files.fetch_name}
    assert fetchable == {dataset.catalogue_name: name for name, dataset in DATASETS.items()}


def test_catalogue_and_fetch_need_no_torch() -> None:
    program = "import sys, pet.data.fetch.__main__; assert not {'torch', 'torchvision', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
