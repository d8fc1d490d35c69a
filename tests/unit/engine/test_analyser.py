"""The analyser against figures published by others and against counts made by hand."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from pet.config import Config, ConfigError, get_base_cfg
from pet.engine.analyser import Analyser, log_analysis
from pet.tasks.cls.model import GeneralizedCNN

FASHION = "cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml"


def config(*overrides: Any) -> Config:
    cfg = get_base_cfg("cls")
    cfg.merge_from_list(list(overrides))
    return cfg


class Small(nn.Module):
    """A convolution, a batch norm and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Any:
        return self.fc(torch.relu(self.norm(self.conv(images))).mean((2, 3)))


def test_counts_what_is_counted_by_hand() -> None:
    analyser = Analyser(Small)
    outputs = 8 * 5 * 10  # of the convolution, for 10 × 20 pixels
    assert analyser.get_params() == (3 * 9 + 1) * 8 + 2 * 8 + (8 + 1) * 5
    assert analyser.get_flops_activs(10, 20, "conv") == (outputs * 27 / 1e6, outputs / 1e6)
    assert analyser.get_flops_activs(10, 20) == ((outputs * 27 + outputs * 2 + 8 * 5) / 1e6, (outputs + 5) / 1e6)
    assert not analyser.unsupported


# Convolutions and linear layers, as the metadata of torchvision's weights has them, in thousands of millions.
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0", "vit_b_16", "swin_t"])
def test_agrees_with_the_figures_that_torchvision_publishes(name: str) -> None:
    published: Any = models.get_model_weights(name).DEFAULT
    size = 224
    analyser = Analyser(partial(models.get_model, name, weights=None))
    assert analyser.get_params() == published.meta["num_params"]
    flops, _ = analyser.get_flops_activs(size, size)
    norms = 2 * sum(_batch_norm_elements(partial(models.get_model, name, weights=None), size)) / 1e6
    assert (flops - norms) / 1e3 == pytest.approx(published.meta["_ops"], rel=2e-3)


def _batch_norm_elements(build: Any, size: int) -> list[int]:
    """Elements that each batch norm puts out for one image, seen by hooks."""
    with torch.device("meta"):
        model = build().eval()
    seen: list[int] = []
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output.numel()))
    model(torch.empty(1, 3, size, size, device="meta"))
    return seen


def test_agrees_with_the_published_activations_of_resnet_50() -> None:
    """11.1 million, in Radosavovic et al., "Designing Network Design Spaces" (2020)."""
    _, activations = Analyser(partial(models.resnet50, weights=None)).get_flops_activs(224, 224, "conv")
    assert round(activations, 1) == 11.1


def test_layer_norm_is_named_as_left_out() -> None:
    analyser = Analyser(lambda: nn.Sequential(nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 2)))
    assert analyser.get_flops_activs(2, 2)[0] == 24 / 1e6
    assert dict(analyser.unsupported) == {"aten.native_layer_norm": 1}


def test_row_29_nothing_is_computed_and_no_random_number_is_drawn() -> None:
    before = torch.get_rng_state()
    analyser = Analyser(partial(models.resnet18, weights=None))
    analyser.get_flops_activs(32, 32)
    assert {parameter.device.type for parameter in analyser.model.parameters()} == {"meta"}
    assert torch.equal(torch.get_rng_state(), before)


def test_logs_one_line_for_the_size_of_the_configuration(caplog: pytest.LogCaptureFixture) -> None:
    cfg = config()
    cfg.merge_from_file(FASHION)
    with caplog.at_level(logging.INFO):
        log_analysis(partial(GeneralizedCNN, cfg), cfg)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("Params: 0.309M | FLOPs: ")
    assert "(millions for one image of 28 x 28, by TRAIN.RESIZE.SCALES; one FLOP is one multiply-add)" in line


@pytest.mark.parametrize(
    ("transforms", "key"),
    [
        (("resize", "center_crop"), "TRAIN.CENTER_CROP.CROP_SCALES"),
        (("random_crop", "horizontal_flip"), "TRAIN.RANDOM_CROP.CROP_SCALES"),
        (("random_resized_crop",), "TRAIN.RANDOM_RESIZED_CROP.SIZE"),
    ],
)
def test_counts_for_the_size_that_crops_have(
    transforms: tuple[str, ...], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    size = ((6, 4),) if key == "TRAIN.RANDOM_CROP.CROP_SCALES" else (6, 4)
    with caplog.at_level(logging.INFO):
        log_analysis(partial(nn.Conv2d, 3, 1, 1), config("TRAIN.TRANSFORMS", transforms, key, size))
    assert (
        f"Activations: 0.0000M / Conv_Activations: 0.0000M (millions for one image of 6 x 4, by {key};" in caplog.text
    )


def test_row_29_logs_the_operators_that_it_leaves_out(caplog: pytest.LogCaptureFixture) -> None:
    cfg = config("TRAIN.TRANSFORMS", (), "TRAIN.RESIZE.SCALES", (2,))
    with caplog.at_level(logging.INFO):
        log_analysis(lambda: nn.Sequential(nn.Flatten(), nn.LayerNorm(12)), cfg)
    assert caplog.records[-1].getMessage() == "Operators that the analyser does not count: aten.native_layer_norm (1)"


class LooksAtValues(nn.Module):
    """What shapes alone cannot answer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1000))

    def forward(self, images: Tensor) -> Tensor:
        return images if images.sum() > 0 else -images


class FindsPlaces(LooksAtValues):
    """The same, by another operator."""

    def forward(self, images: Tensor) -> Tensor:
        return images.nonzero()


@pytest.mark.parametrize("build", [LooksAtValues, FindsPlaces, partial(nn.Conv2d, 3, 4, kernel_size=300)])
def test_a_model_that_cannot_run_on_shapes_is_a_warning(build: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_analysis(build, config())
    [record] = caplog.records
    assert record.levelname == "WARNING"
    count = sum(parameter.numel() for parameter in build().parameters())
    assert record.getMessage().startswith(f"Params: {count / 1e6:.3f}M | FLOPs cannot be counted from shapes: ")


def test_a_model_that_cannot_be_built_is_the_users_error() -> None:
    cfg = config("MODEL.BACKBONE", "resnt50")
    with pytest.raises(ConfigError, match="did you mean resnet50"):
        log_analysis(partial(GeneralizedCNN, cfg), cfg)
