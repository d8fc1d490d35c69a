from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision import models

from pet.config import Config, ConfigError, get_base_cfg
from pet.config.defaults.cls import BACKBONES as CHECKED
from pet.models.backbones import BACKBONES, Backbone, ResNetTrunk, SlimResNet, build_backbone


def config(*overrides: Any) -> Config:
    cfg = get_base_cfg("cls")
    cfg.merge_from_list(list(overrides))
    return cfg


def on_meta(*overrides: Any) -> Backbone:
    with torch.device("meta"):
        return build_backbone(config(*overrides))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_a_resnet_has_the_keys_and_shapes_of_torchvisions_weights(name: str) -> None:
    published: Any = models.get_model_weights(name).DEFAULT
    with torch.device("meta"):
        theirs = models.get_model(name, weights=None).state_dict()
    ours = on_meta("MODEL.BACKBONE", name).state_dict()
    head = {"fc.weight", "fc.bias"}
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in theirs.items() if key not in head
    }
    count = sum(value.numel() for key, value in theirs.items() if not key.endswith(("mean", "var", "tracked")))
    assert count == published.meta["num_params"]


@pytest.mark.parametrize(("name", "dim_out"), [("resnet18", 512), ("resnet50", 2048)])
def test_a_resnet_has_stride_32_and_says_its_channels(name: str, dim_out: int) -> None:
    backbone = on_meta("MODEL.BACKBONE", name)
    assert backbone.dim_out == dim_out
    assert backbone(torch.empty(2, 3, 64, 96, device="meta")).shape == (2, dim_out, 2, 3)


def test_a_resnet_computes_what_torchvisions_does() -> None:
    theirs = models.resnet18(weights=None).eval()
    trunk = ResNetTrunk("resnet18", in_channels=3).eval()
    trunk.load_state_dict({key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")})
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(theirs.fc(trunk(images).mean((2, 3))), theirs(images))


def test_a_resnet_for_grey_images_has_another_stem_in_the_same_place() -> None:
    trunk = ResNetTrunk("resnet18", in_channels=1)
    assert trunk.conv1.weight.shape == (64, 1, 7, 7)
    assert next(iter(trunk.state_dict())) == "conv1.weight"
    # By the fan out of 64 × 7 × 7, as torchvision initialises it.
    assert trunk.conv1.weight.std().item() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.1)
    assert trunk(torch.zeros(2, 1, 32, 32)).shape == (2, 512, 1, 1)


def test_the_slim_resnet_keeps_the_size_in_its_stem_and_has_stride_8() -> None:
    backbone = on_meta("MODEL.BACKBONE", "slim_resnet", "MODEL.IN_CHANNELS", 1)
    assert backbone.dim_out == 128
    assert backbone(torch.empty(2, 1, 28, 28, device="meta")).shape == (2, 128, 4, 4)


def test_the_slim_resnet_has_the_parameters_of_its_recipe() -> None:
    backbone = on_meta("MODEL.BACKBONE", "slim_resnet", "MODEL.IN_CHANNELS", 1)
    stem = 9 * 16 + 2 * 16
    first = 2 * (9 * 16 * 16 + 2 * 16)  # two convolutions, each with its batch norm
    later = [9 * a * b + 2 * b + 9 * b * b + 2 * b + a * b + 2 * b for a, b in ((16, 32), (32, 64), (64, 128))]
    assert sum(parameter.numel() for parameter in backbone.parameters()) == stem + first + sum(later) == 307_248


def test_widths_and_blocks_shape_the_slim_resnet() -> None:
    backbone = SlimResNet(in_channels=3, widths=(8, 24), blocks=(2, 3))
    assert backbone.dim_out == 24
    assert [len(backbone.get_submodule(f"layer{number}")) for number in (1, 2)] == [2, 3]  # type: ignore[arg-type]
    assert backbone(torch.zeros(1, 3, 10, 10)).shape == (1, 24, 5, 5)


def test_every_registered_backbone_tells_its_channels_truly() -> None:
    assert {"slim_resnet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"} <= set(BACKBONES)
    images = torch.empty(1, 3, 64, 64, device="meta")
    for name in BACKBONES:
        backbone = on_meta("MODEL.BACKBONE", name)
        assert backbone(images).shape[1] == backbone.dim_out


def test_an_unknown_backbone_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"MODEL\.BACKBONE: no 'slimresnet' .* did you mean slim_resnet\?"):
        build_backbone(config("MODEL.BACKBONE", "slimresnet"))


def test_a_job_is_checked_for_the_backbones_that_there_are() -> None:
    assert set(BACKBONES) == set(CHECKED)
