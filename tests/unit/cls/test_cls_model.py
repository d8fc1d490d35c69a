from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.datasets import noise
from torch import Tensor
from torchvision import models

from pet.config import Config, ConfigError, get_base_cfg
from pet.engine.checkpointer import CheckPointer
from pet.tasks.cls.model import GeneralizedCNN

FASHION = "cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml"
IMAGES = noise(4, 1, 28, 28)


def config(*overrides: Any) -> Config:
    """The sample's, so one channel and ten classes."""
    cfg = get_base_cfg("cls")
    cfg.merge_from_file(FASHION)
    cfg.merge_from_list(list(overrides))
    return cfg


def model(*overrides: Any) -> GeneralizedCNN:
    torch.manual_seed(0)
    return GeneralizedCNN(config(*overrides))


def with_logits(logits: Tensor, *overrides: Any) -> GeneralizedCNN:
    """A model whose head gives these logits for four images."""
    made = model(*overrides)
    made.head.register_forward_hook(lambda module, inputs, output: output * 0 + logits)
    return made


def cross_entropy(logits: Tensor, probabilities: Tensor) -> float:
    """By its definition."""
    logs = logits.double() - logits.double().exp().sum(1, keepdim=True).log()
    return float(-(probabilities.double() * logs).sum(1).mean())


def one_hot(*labels: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), 10).float()


LOGITS = torch.randn(4, 10, generator=torch.Generator().manual_seed(1))


def test_has_the_309_thousand_parameters_of_the_recipe() -> None:
    assert sum(parameter.numel() for parameter in model().parameters()) == 308_538


def test_in_training_it_gives_scalar_losses_and_metrics() -> None:
    outputs = model().train()(IMAGES, torch.tensor([1, 2, 3, 4]))
    assert {kind: list(terms) for kind, terms in outputs.items()} == {"losses": ["cls_loss"], "metrics": ["acc1"]}
    assert outputs["losses"]["cls_loss"].shape == outputs["metrics"]["acc1"].shape == ()
    assert outputs["losses"]["cls_loss"].requires_grad
    assert not outputs["metrics"]["acc1"].requires_grad


def test_every_parameter_gets_a_gradient() -> None:
    made = model().train()
    made(IMAGES, torch.tensor([1, 2, 3, 4]))["losses"]["cls_loss"].backward()
    assert [name for name, parameter in made.named_parameters() if parameter.grad is None] == []


def test_in_evaluation_it_gives_logits_whatever_targets_there_are() -> None:
    made = model().eval()
    logits = made(IMAGES)
    assert (logits.shape, logits.dtype) == ((4, 10), torch.float32)
    assert torch.equal(made(IMAGES, torch.tensor([1, 2, 3, 4])), logits)


def test_bytes_and_floats_of_the_same_values_give_the_same() -> None:
    made = model().eval()
    assert torch.equal(made(IMAGES), made(IMAGES.float()))


def test_the_pixel_statistics_are_those_of_the_configuration() -> None:
    plain = model("DATA.PIXEL_MEAN", (0.0,), "DATA.PIXEL_STD", (1.0,), "DATA.FORMAT.IMAGE", "rgb255").eval()
    assert torch.allclose(plain((IMAGES / 255 - 0.2860) / 0.3530), model().eval()(IMAGES), atol=1e-5)


def test_channels_last_changes_the_layout_and_not_the_weights() -> None:
    plain, last = model().eval(), model("MISC.CHANNELS_LAST", True).eval()
    assert torch.allclose(plain(IMAGES), last(IMAGES), atol=1e-5)
    assert all(torch.equal(plain.state_dict()[key], value) for key, value in last.state_dict().items())
    layouts: list[bool] = []
    last.backbone.register_forward_hook(
        lambda module, inputs, output: layouts.append(output.is_contiguous(memory_format=torch.channels_last))
    )
    last(IMAGES)
    assert layouts == [True]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_label_smoothing_spreads_a_share_of_the_target_evenly(smoothing: float) -> None:
    made = with_logits(LOGITS, "MODEL.LABEL_SMOOTHING", smoothing).train()
    loss = made(IMAGES, torch.tensor([1, 2, 3, 4]))["losses"]["cls_loss"].item()
    target = (1 - smoothing) * one_hot(1, 2, 3, 4) + smoothing / 10
    assert loss == pytest.approx(cross_entropy(LOGITS, target), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_mixed_targets_is_that_of_their_probabilities(smoothing: float) -> None:
    made = with_logits(LOGITS, "MODEL.LABEL_SMOOTHING", smoothing).train()
    mixture = 0.7 * one_hot(1, 2, 3, 4) + 0.3 * one_hot(4, 1, 2, 3)
    loss = made(IMAGES, mixture)["losses"]["cls_loss"].item()
    assert loss == pytest.approx(cross_entropy(LOGITS, (1 - smoothing) * mixture + smoothing / 10), rel=1e-5)


def test_the_accuracy_of_a_batch_goes_by_the_best_class_and_the_likeliest_target() -> None:
    made = with_logits(10 * one_hot(1, 2, 5, 4)).train()
    assert made(IMAGES, torch.tensor([1, 2, 3, 4]))["metrics"]["acc1"].item() == 0.75
    mixture = 0.7 * one_hot(1, 7, 5, 4) + 0.3 * one_hot(9, 2, 9, 9)
    assert made(IMAGES, mixture)["metrics"]["acc1"].item() == 0.75


def test_metrics_can_be_switched_off() -> None:
    assert model("TRAIN.METRICS_ON", False).train()(IMAGES, torch.tensor([1, 2, 3, 4]))["metrics"] == {}


def test_an_unknown_backbone_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="did you mean slim_resnet"):
        model("MODEL.BACKBONE", "slimresnet")


def published(tmp_path: Path) -> tuple[torch.nn.Module, str]:
    """A torchvision ResNet-18 and its weights as a file, named as torchvision names them."""
    torch.manual_seed(1)
    theirs = models.resnet18(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    return theirs, str(tmp_path / "resnet18.pth")


COLOUR = ("MODEL.BACKBONE", "resnet18", "MODEL.IN_CHANNELS", 3, "DATA.PIXEL_MEAN", (0.485, 0.456, 0.406),
          "DATA.PIXEL_STD", (0.229, 0.224, 0.225))  # fmt: skip


def test_weights_of_torchvision_give_torchvisions_logits(tmp_path: Path) -> None:
    theirs, path = published(tmp_path)
    ours = model(*COLOUR, "MODEL.NUM_CLASSES", 1000).eval()
    checkpointer = CheckPointer("", weights_path=path)
    checkpointer.load_model(ours)
    assert checkpointer.mismatch_keys == []
    images = noise(2, 3, 64, 64)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        assert torch.allclose(ours(images), theirs((images / 255 - mean) / std), atol=1e-4)


def test_for_other_classes_the_head_alone_begins_anew(tmp_path: Path) -> None:
    theirs, path = published(tmp_path)
    ours = model(*COLOUR)
    checkpointer = CheckPointer("", weights_path=path)
    checkpointer.load_model(ours)
    assert checkpointer.mismatch_keys == ["head.fc.weight", "head.fc.bias"]
    assert torch.equal(
        ours.backbone.state_dict()["layer4.1.conv2.weight"], theirs.state_dict()["layer4.1.conv2.weight"]
    )
