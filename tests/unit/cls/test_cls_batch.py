from __future__ import annotations

from typing import Any

import pytest
import torch
from harness.datasets import noise

from pet.config import get_base_cfg
from pet.tasks.cls.batch import Batch, Sample, collate, make_collate

CLASSES = 5
LABELS = [0, 1, 2, 3, 4, 0]
SAMPLES: list[Sample] = [(noise(3, 8, 8, seed=index), label, 10 + index) for index, label in enumerate(LABELS)]
IMAGES = torch.stack([image for image, _, _ in SAMPLES])
ONE_HOT = torch.nn.functional.one_hot(torch.tensor(LABELS), CLASSES).float()


def mixed(seed: int, **alphas: float) -> Batch:
    cfg = get_base_cfg("cls")
    cfg.merge_from_list(["MODEL.NUM_CLASSES", CLASSES])
    cfg.merge_from_list([part for name, alpha in alphas.items() for part in (f"TRAIN.{name}.ALPHA", alpha)])
    torch.manual_seed(seed)
    return make_collate(cfg)(SAMPLES)


def test_stacks_images_labels_and_indices() -> None:
    images, labels, indices = collate(SAMPLES)
    assert images.dtype == torch.uint8
    assert torch.equal(images, IMAGES)
    assert (labels.dtype, labels.tolist()) == (torch.int64, LABELS)
    assert (indices.dtype, indices.tolist()) == (torch.int64, [10, 11, 12, 13, 14, 15])


def test_images_of_different_sizes_name_the_remedy() -> None:
    samples = [(noise(3, 8, 8), 0, 0), (noise(3, 8, 9), 0, 1), (noise(3, 8, 8), 0, 2)]
    with pytest.raises(ValueError, match=r"differ in size \(3x8x8 and 3x8x9\): let the transforms end with a crop"):
        collate(samples)


def test_without_mixing_it_is_plain_collation() -> None:
    cfg = get_base_cfg("cls")
    assert make_collate(cfg) is collate


@pytest.mark.parametrize("alphas", [{"MIXUP": 0.8}, {"CUTMIX": 1.0}, {"MIXUP": 0.8, "CUTMIX": 1.0}], ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_mixed_targets_are_probabilities_of_an_image_and_its_neighbour(alphas: dict[str, Any], seed: int) -> None:
    images, targets, indices = mixed(seed, **alphas)
    assert images.shape == IMAGES.shape
    assert (targets.shape, targets.dtype) == ((6, CLASSES), torch.float32)
    assert torch.allclose(targets.sum(1), torch.ones(6))
    share = targets[1, 1]  # of the image itself; all images of a batch are mixed in one proportion
    assert torch.allclose(targets, share * ONE_HOT + (1 - share) * ONE_HOT.roll(1, 0), atol=1e-6)
    assert indices.tolist() == [10, 11, 12, 13, 14, 15]


@pytest.mark.parametrize("seed", range(5))
def test_mixup_mixes_pixels_in_the_proportion_of_the_targets(seed: int) -> None:
    images, targets, _ = mixed(seed, MIXUP=0.8)
    share = targets[1, 1]
    assert images.dtype == torch.float32
    assert 0 < share < 1
    assert torch.allclose(images, share * IMAGES + (1 - share) * IMAGES.roll(1, 0), atol=1e-3)


def test_cutmix_pastes_a_box_of_the_neighbour_whose_area_is_in_the_targets() -> None:
    shares = []
    for seed in range(8):
        images, targets, _ = mixed(seed, CUTMIX=1.0)
        assert images.dtype == torch.uint8
        own, pasted = (images == IMAGES).all(1), (images == IMAGES.roll(1, 0)).all(1)
        assert (own | pasted).all()
        assert len(torch.unique(own, dim=0)) == 1  # the same box in all images
        assert own[1].float().mean() == pytest.approx(targets[1, 1].item(), abs=1e-6)
        rows, columns = torch.where(~own[1])
        if len(rows):
            height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
            assert height * width == len(rows)
        shares.append(targets[1, 1].item())
    assert len(set(shares)) > 1


def test_with_both_each_batch_takes_one_of_them_by_lot() -> None:
    kinds = [mixed(seed, MIXUP=0.8, CUTMIX=1.0)[0].dtype for seed in range(20)]
    assert set(kinds) == {torch.float32, torch.uint8}


def test_mixing_is_decided_by_torchs_generator_alone() -> None:
    first, again, other = (mixed(seed, MIXUP=0.8, CUTMIX=1.0) for seed in (3, 3, 4))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
