"""The classification configurations of the repository build what they name, on the meta device: no data, no memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pet.config import load_config
from pet.data.catalogue import FILE_SETS
from pet.tasks.cls.model import GeneralizedCNN
from pet.tasks.cls.transforms import build_test_transform, build_train_transform

ROOT = Path(__file__).parents[3]
CFGS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("cfgs/tasks/cls/**/*.yaml"))


@pytest.mark.parametrize("path", CFGS)
def test_the_model_takes_the_images_that_the_transforms_give(path: str) -> None:
    cfg = load_config("cls", cfg_file=str(ROOT / path))
    side = cfg.TRAIN.RESIZE.SCALES[0]
    image = torch.zeros(cfg.MODEL.IN_CHANNELS, side, side + 1, dtype=torch.uint8)
    shapes = [build(cfg)(image).shape for build in (build_train_transform, build_test_transform)]
    with torch.device("meta"):
        model = GeneralizedCNN(cfg).eval()
        for shape in shapes:
            logits = model(torch.zeros(2, *shape, dtype=torch.uint8))
            assert logits.shape == (2, cfg.MODEL.NUM_CLASSES)


@pytest.mark.parametrize("path", CFGS)
def test_the_head_has_the_classes_of_a_data_set_that_is_known_by_name(path: str) -> None:
    cfg = load_config("cls", cfg_file=str(ROOT / path))
    names = {name.rpartition("_")[0] for name in (*cfg.TRAIN.DATASETS, *cfg.TEST.DATASETS)}
    known = {FILE_SETS[name].num_classes for name in names if name in FILE_SETS}
    assert known <= {cfg.MODEL.NUM_CLASSES}
