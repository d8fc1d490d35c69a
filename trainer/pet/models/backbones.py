"""Backbones by name: images float [N, C, H, W] in, the last stage's features [N, dim_out, h, w] out.

`register("name")` enters a builder, a function from the configuration to a `Backbone`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock

from pet.config import Config
from pet.models.registry import Registry


class Backbone(nn.Module):
    """A feature extractor that says how many channels it puts out."""

    dim_out: int


BACKBONES: Registry[Callable[[Config], Backbone]] = Registry("MODEL.BACKBONE")
register = BACKBONES.register


def build_backbone(cfg: Config) -> Backbone:
    """The backbone that MODEL.BACKBONE names. Raises ConfigError for an unknown name."""
    return BACKBONES.find(cfg.MODEL.BACKBONE)(cfg)


class ResNetTrunk(nn.Sequential, Backbone):
    """One of torchvision's ResNets up to its last stage, under the names of its published weights. Stride 32."""

    def __init__(self, name: str, in_channels: int) -> None:
        resnet = models.get_model(name, weights=None)
        super().__init__(OrderedDict((part, module) for part, module in resnet.named_children()
                                     if part not in ("avgpool", "fc")))  # fmt: skip
        self.dim_out = resnet.fc.in_features
        if in_channels != 3:
            self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
            # As torchvision's ResNets have it: He initialisation by the fan out.
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")


class SlimResNet(Backbone):
    """A ResNet for small images: a 3×3 stem that keeps the size, no pooling, one stage per width. Stride 8 at four.

    The stem is that of the CIFAR networks in He et al., "Deep Residual Learning for Image Recognition" (2015). Weights
    start as torch's layers initialise themselves: in trainings of few epochs that is ahead of He's larger values.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.dim_out = widths[-1]
        self.conv1 = nn.Conv2d(in_channels, widths[0], kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        inputs = (widths[0], *widths[:-1])
        self.stages: list[str] = []
        for number, (dim_in, width, count) in enumerate(zip(inputs, widths, blocks, strict=True), start=1):
            self.add_module(f"layer{number}", _stage(dim_in, width, count, stride=1 if number == 1 else 2))
            self.stages.append(f"layer{number}")

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.relu(self.bn1(self.conv1(images)))
        for stage in self.stages:
            features = self.get_submodule(stage)(features)
        return features


@register("slim_resnet")
def _slim_resnet(cfg: Config) -> SlimResNet:
    return SlimResNet(cfg.MODEL.IN_CHANNELS, cfg.MODEL.SLIM_RESNET.WIDTHS, cfg.MODEL.SLIM_RESNET.BLOCKS)


def _resnet(name: str, cfg: Config) -> ResNetTrunk:
    return ResNetTrunk(name, cfg.MODEL.IN_CHANNELS)


for _name in models.list_models(module=models, include=("resnet*", "resnext*", "wide_resnet*")):
    register(_name)(partial(_resnet, _name))


def _stage(dim_in: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or dim_in != width:
        shortcut = nn.Sequential(nn.Conv2d(dim_in, width, kernel_size=1, stride=stride, bias=False),
                                 nn.BatchNorm2d(width))  # fmt: skip
    first = BasicBlock(dim_in, width, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))
