from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.datasets import cifar_bytes, noise, write_image_folder, write_mnist
from torch._utils import ExceptionWrapper

from pet.config import Config, ConfigError, get_base_cfg
from pet.data.errors import SampleError
from pet.tasks.cls.dataset import build_dataset

GREY = noise(4, 6, 6)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data root that the environment names."""
    monkeypatch.setenv("PETJOB_DATA_DIR", str(tmp_path))
    return tmp_path


def config(*overrides: Any) -> Config:
    """Fashion-MNIST's form, without transforms."""
    cfg = get_base_cfg("cls")
    cfg.merge_from_list([
        "DATA.DATASET_TYPE", "mnist_dataset", "TRAIN.DATASETS", ("fashion_mnist_train",), "TRAIN.TRANSFORMS", (),
        "TEST.DATASETS", ("fashion_mnist_test",), "TEST.TRANSFORMS", (), "MODEL.NUM_CLASSES", 10,
        "MODEL.IN_CHANNELS", 1, "DATA.LOADER_THREADS", 0, "MISC.DEVICE", "cpu", *overrides,
    ])  # fmt: skip
    return cfg


FOLDERS = ("DATA.DATASET_TYPE", "image_folder_dataset", "TRAIN.DATASETS", ("birds_train",), "TEST.DATASETS",
           ("birds_val",), "MODEL.NUM_CLASSES", 2, "MODEL.IN_CHANNELS", 3)  # fmt: skip


def problems(cfg: Config, *, is_train: bool = True) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        build_dataset(cfg, is_train)
    return [(problem.field, problem.message) for problem in caught.value.problems]


def test_a_sample_is_image_label_and_index(root: Path) -> None:
    write_mnist(root / "FashionMNIST", "train", GREY, [3, 1, 4, 1])
    dataset = build_dataset(config(), is_train=True)
    assert (len(dataset), dataset.num_classes, dataset.name) == (4, 10, "fashion_mnist_train")
    image, label, index = dataset[2]
    assert image.dtype == torch.uint8
    assert torch.equal(image, GREY[2:3])
    assert (label, index) == (4, 2)


def test_reads_the_real_fashion_mnist(fashion_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETJOB_DATA_DIR", str(fashion_mnist))
    train, test = (build_dataset(config(), is_train) for is_train in (True, False))
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train[0][0].shape == (1, 28, 28)
    pixels = torch.stack([train[index][0] for index in range(0, 60_000, 20)]).float() / 255
    assert pixels.mean().item() == pytest.approx(0.2860, abs=0.005)  # the configuration's statistics
    assert pixels.std().item() == pytest.approx(0.3530, abs=0.005)


def test_several_data_sets_follow_one_another(root: Path) -> None:
    write_mnist(root / "FashionMNIST", "train", GREY, [3, 1, 4, 1])
    write_mnist(root / "MNIST", "train", noise(2, 6, 6, seed=9), [7, 8])
    dataset = build_dataset(config("TRAIN.DATASETS", ("mnist_train", "fashion_mnist_train")), is_train=True)
    assert dataset.name == "mnist_train + fashion_mnist_train"
    assert [dataset[index][1:] for index in range(6)] == [(7, 0), (8, 1), (3, 2), (1, 3), (4, 4), (1, 5)]
    assert torch.equal(dataset[5][0], GREY[3:4])


def test_grey_images_become_three_equal_channels_and_colour_ones_luminance(root: Path) -> None:
    write_mnist(root / "FashionMNIST", "train", GREY, [3, 1, 4, 1])
    colour = build_dataset(config("MODEL.IN_CHANNELS", 3, "TRAIN.TRANSFORMS", ("horizontal_flip",)), is_train=True)
    image = colour[0][0]
    assert image.shape == (3, 6, 6)
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])
    write_image_folder(root / "birds" / "train", {"crow": 1, "owl": 1})
    grey = build_dataset(config(*FOLDERS, "MODEL.IN_CHANNELS", 1), is_train=True)[0][0]
    rgb = build_dataset(config(*FOLDERS), is_train=True)[0][0].float()
    luminance = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]  # Rec. 601
    assert (grey[0].float() - luminance).abs().max() <= 1.01  # cut off, with weights of four digits


def test_a_broken_image_names_its_number_and_its_path(root: Path) -> None:
    write_image_folder(root / "birds" / "train", {"crow": 2, "owl": 1})
    broken = root / "birds" / "train" / "crow" / "1.png"
    broken.write_bytes(broken.read_bytes()[:50])
    dataset = build_dataset(config(*FOLDERS), is_train=True)
    assert dataset[0][1] == 0
    with pytest.raises(SampleError, match=f"sample 1 of birds_train, {broken}: "):
        dataset[1]


def test_the_error_survives_the_way_from_a_worker_to_its_rank(root: Path) -> None:
    write_image_folder(root / "birds" / "train", {"crow": 1, "owl": 1})
    broken = root / "birds" / "train" / "owl" / "0.png"
    broken.write_bytes(b"")
    try:
        build_dataset(config(*FOLDERS), is_train=True)[1]
    except SampleError:
        carried = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(SampleError, match=f"sample 1 of birds_train, {broken}: "):
        carried.reraise()


def test_a_transform_that_fails_names_the_sample(root: Path) -> None:
    write_mnist(root / "FashionMNIST", "train", GREY, [3, 1, 4, 1])
    cfg = config("TRAIN.TRANSFORMS", ("random_crop",), "TRAIN.RANDOM_CROP.CROP_SCALES", ((50, 50),))
    with pytest.raises(SampleError, match=r"sample 3 of fashion_mnist_train, .*ubyte\.gz: Required crop size"):
        build_dataset(cfg, is_train=True)[3]


def test_every_data_set_that_is_wrong_is_named_at_once(root: Path) -> None:
    write_mnist(root / "MNIST", "train", GREY, [3, 1, 4, 99])
    write_image_folder(root / "birds" / "train", {"crow": 1})
    found = problems(config("TRAIN.DATASETS", ("fashion_mnist_train", "mnist_train", "birds_train", "cifar10")))
    assert [field for field, _ in found] == ["TRAIN.DATASETS", "TRAIN.DATASETS", "DATA.DATASET_TYPE", "TRAIN.DATASETS"]
    missing, damaged, other, nameless = (message for _, message in found)
    assert "pet data fetch fashion-mnist" in missing
    assert "labels must be 0 to 9" in damaged
    assert other == (
        "'mnist_dataset', but 'birds_train' of TRAIN.DATASETS is a set of image folders: write 'image_folder_dataset'"
    )
    assert "must be <name>_train" in nameless


def test_test_data_sets_are_named_under_their_own_key(root: Path) -> None:
    [(field, message)] = problems(config(), is_train=False)
    assert field == "TEST.DATASETS"
    assert "t10k-images-idx3-ubyte" in message


@pytest.mark.parametrize(("is_train", "field"), [(True, "TRAIN.DATASETS"), (False, "TEST.DATASETS")])
def test_no_data_set_at_all_is_an_error(is_train: bool, field: str) -> None:
    cfg = config("TRAIN.DATASETS", (), "TEST.DATASETS", ())
    assert [name for name, _ in problems(cfg, is_train=is_train)] == [field]


def test_the_number_of_classes_must_be_that_of_the_training_set(root: Path) -> None:
    write_image_folder(root / "birds" / "train", {"crow": 1, "owl": 1})
    for wrong in (1, 3):
        cfg = config(*FOLDERS, "MODEL.NUM_CLASSES", wrong)
        assert problems(cfg) == [("MODEL.NUM_CLASSES", f"{wrong}, but birds_train has 2")]


def test_a_test_set_may_lack_classes_and_not_have_more(root: Path) -> None:
    write_image_folder(root / "birds" / "val", {"crow": 1, "owl": 1})
    dataset = build_dataset(config(*FOLDERS, "MODEL.NUM_CLASSES", 5), is_train=False)
    assert dataset.num_classes == 2
    assert problems(config(*FOLDERS, "MODEL.NUM_CLASSES", 1), is_train=False) == [
        ("MODEL.NUM_CLASSES", "1, but birds_val has 2")
    ]


def test_cifar_is_read_in_colour(root: Path) -> None:
    folder = root / "CIFAR10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    images = noise(3, 3, 32, 32)
    (folder / "test_batch").write_bytes(cifar_bytes(images, [0, 9, 5]))
    cfg = config("DATA.DATASET_TYPE", "cifar_dataset", "TEST.DATASETS", ("cifar10_test",), "MODEL.IN_CHANNELS", 3)
    dataset = build_dataset(cfg, is_train=False)
    assert torch.equal(dataset[1][0], images[1])


def test_reading_an_image_warns_of_nothing(root: Path) -> None:
    write_image_folder(root / "birds" / "train", {"crow": 1, "owl": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_dataset(config(*FOLDERS), is_train=True)[0]
