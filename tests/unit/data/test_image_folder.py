from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from harness.datasets import noise, png_bytes, write_image_folder
from PIL import Image

from pet.config import ConfigError
from pet.data.catalogue import DatasetEntry, Format
from pet.data.image_folder import list_images, read_image

SMOOTH = torch.stack([torch.arange(48).view(1, 48).expand(40, 48), torch.arange(40).view(40, 1).expand(40, 48),
                      torch.full((40, 48), 77)]).to(torch.uint8)  # fmt: skip


def entry(root: Path, split: str = "train") -> DatasetEntry:
    return DatasetEntry(f"birds_{split}", "TRAIN.DATASETS", Format.IMAGE_FOLDER, root, split)


def listed(root: Path, split: str = "train") -> list[tuple[str, int]]:
    """Paths below the split, with their labels."""
    return [(str(Path(path).relative_to(root / split)), label) for path, label in list_images(entry(root, split))[0]]


def refused(root: Path, split: str = "train") -> str:
    with pytest.raises(ConfigError) as caught:
        list_images(entry(root, split))
    assert [problem.field for problem in caught.value.problems] == ["TRAIN.DATASETS"]
    assert f"data set 'birds_{split}'" in str(caught.value)
    return str(caught.value)


def test_classes_are_numbered_by_name_and_files_come_in_order(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "train", {"wren": 1, "crow": 2, "Owl": 1})
    (tmp_path / "train" / "crow" / "notes.txt").write_text("no image")
    assert listed(tmp_path) == [("Owl/0.png", 0), ("crow/0.png", 1), ("crow/1.png", 1), ("wren/0.png", 2)]
    assert list_images(entry(tmp_path))[1] == 3


def test_a_folder_that_a_notebook_has_left_is_no_class(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "train", {".ipynb_checkpoints": 1, "crow": 1, "owl": 1})
    assert listed(tmp_path) == [("crow/0.png", 0), ("owl/0.png", 1)]
    assert list_images(entry(tmp_path))[1] == 2
    write_image_folder(tmp_path / "other" / "train", {".ipynb_checkpoints": 1})
    assert "has no class folders" in refused(tmp_path / "other")


def test_a_split_that_lacks_a_class_keeps_the_numbers_of_the_training_split(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "train", {"crow": 1, "owl": 1, "wren": 1})
    write_image_folder(tmp_path / "val", {"wren": 1})
    assert listed(tmp_path, "val") == [("wren/0.png", 2)]
    assert list_images(entry(tmp_path, "val"))[1] == 3


def test_without_a_training_split_the_split_numbers_its_own_classes(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "test", {"wren": 1, "crow": 1})
    assert listed(tmp_path, "test") == [("crow/0.png", 0), ("wren/0.png", 1)]


def test_a_mapping_numbers_the_folders(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "train", {"n01": 1, "n02": 1})
    (tmp_path / "label_mapping.txt").write_bytes(
        "# folder label name\n\nn01 1 jalape\xf1o\nn02 0 barn owl\n".encode("latin-1")
    )
    assert listed(tmp_path) == [("n01/0.png", 1), ("n02/0.png", 0)]


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("n01\n", "line 1: 'n01' is not `<folder> <label from 0> [text]`"),
        ("n01 0\nn02 one\n", "line 2: 'n02 one' is not"),
        ("n01 -1\n", "line 1: 'n01 -1' is not"),
        ("n01 0\nn01 1\n", "line 2: folder 'n01' has a label already"),
        ("n01 0\nn02 2\n", "without gaps; 1 is missing"),
        ("# nothing\n", "without gaps; 0 is missing"),
        ("n01 0\n", "has the class folders n02, which label_mapping.txt lacks"),
    ],
)
def test_a_wrong_mapping_names_its_line(tmp_path: Path, mapping: str, said: str) -> None:
    write_image_folder(tmp_path / "train", {"n01": 1, "n02": 1})
    (tmp_path / "label_mapping.txt").write_text(mapping)
    assert said in refused(tmp_path)


def test_a_class_that_training_does_not_know_is_refused(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "train", {"crow": 1})
    write_image_folder(tmp_path / "val", {"crow": 1, "owl": 1})
    assert f"has the class folders owl, which {tmp_path / 'train'} lacks" in refused(tmp_path, "val")


def test_a_split_without_class_folders_says_what_it_expects(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    assert f"{tmp_path / 'train'} has no class folders; expected" in refused(tmp_path)


def test_class_folders_without_images_are_refused(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "train", {"crow": 0, "owl": 0})
    assert f"no image file in {tmp_path / 'train'}/<class>; read are .jpg, .jpeg, .png" in refused(tmp_path)


@pytest.mark.parametrize(
    ("suffix", "tolerance"), [("png", 0), ("bmp", 0), ("ppm", 0), ("tiff", 0), ("jpeg", 2), ("webp", 4)]
)
def test_every_kind_of_file_gives_the_same_rgb(tmp_path: Path, suffix: str, tolerance: int) -> None:
    path = tmp_path / f"image.{suffix.upper()}"
    path.write_bytes(png_bytes(SMOOTH, suffix))
    image = read_image(str(path))
    assert (image.shape, image.dtype) == (SMOOTH.shape, torch.uint8)
    assert (image.float() - SMOOTH.float()).abs().mean() <= tolerance


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [*(("png", mode) for mode in ("L", "LA", "RGBA", "P", "1")), ("tiff", "CMYK"), ("jpeg", "CMYK"), ("jpeg", "L")],
)
def test_every_mode_becomes_rgb(tmp_path: Path, suffix: str, mode: str) -> None:
    image, path = Image.fromarray(SMOOTH.permute(1, 2, 0).numpy()).convert(mode), tmp_path / f"image.{suffix}"
    image.save(path)
    read = read_image(str(path))
    assert (read.shape, read.dtype) == ((3, 40, 48), torch.uint8)
    expected = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    assert (read.float() - expected.float()).abs().mean() < 3


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, suffix: str) -> None:
    grey = noise(20, 30)
    path = tmp_path / f"image.{suffix}"
    Image.fromarray((grey.to(torch.int32) * 257).numpy().astype(np.uint16)).save(path)
    assert torch.equal(read_image(str(path)), grey.expand(3, -1, -1))


def test_pixels_without_a_known_range_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "depth.tiff"
    Image.fromarray(np.ones((4, 4), np.float32)).save(path)
    with pytest.raises(ValueError, match="mode F"):
        read_image(str(path))


@pytest.mark.parametrize("suffix", ["png", "jpeg", "webp", "tiff", "bmp"])
def test_a_damaged_file_is_never_half_read(tmp_path: Path, suffix: str) -> None:
    data = png_bytes(noise(3, 30, 30), suffix)
    for damaged in (b"", b"no image", data[: len(data) // 2]):
        path = tmp_path / f"image.{suffix}"
        path.write_bytes(damaged)
        with pytest.raises(OSError, match=r"cannot identify image file|truncated|could not create decoder"):
            read_image(str(path))


def test_an_extension_may_lie_about_the_kind(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(png_bytes(SMOOTH))
    assert torch.equal(read_image(str(path)), SMOOTH)
