"""The classification model: pixels → backbone → global average → linear, with its loss in training mode."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pet.config import Config
from pet.models.backbones import build_backbone
from pet.models.normalization import PixelNormalizer


class ClassificationHead(nn.Module):
    """Features [N, dim_in, h, w] to logits [N, num_classes]. `fc` is also its name in torchvision's weights."""

    def __init__(self, dim_in: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(dim_in, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.fc(features.mean((2, 3)))
        return logits


class GeneralizedCNN(nn.Module):
    """Built from MODEL, and from DATA's pixel statistics. Raises ConfigError if their keys do not fit together."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.normalizer = PixelNormalizer(cfg.DATA.PIXEL_MEAN, cfg.DATA.PIXEL_STD, cfg.DATA.FORMAT.IMAGE,
                                          cfg.MISC.CHANNELS_LAST)  # fmt: skip
        self.backbone = build_backbone(cfg)
        self.head = ClassificationHead(self.backbone.dim_out, cfg.MODEL.NUM_CLASSES)
        self.label_smoothing: float = cfg.MODEL.LABEL_SMOOTHING
        self.metrics_on: bool = cfg.TRAIN.METRICS_ON

    def forward(self, images: Tensor, targets: Tensor | None = None) -> Any:
        """Images of 0 to 255, uint8 or float [N, C, H, W].

        Training, with targets (labels [N], or the class probabilities [N, num_classes] that mixup makes): the dict of
        losses and metrics, scalars on the device. Otherwise: logits [N, num_classes].
        """
        logits = self.head(self.backbone(self.normalizer(images)))
        if not self.training or targets is None:
            return logits
        loss = functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        metrics = {"acc1": _accuracy(logits, targets)} if self.metrics_on else {}
        return {"losses": {"cls_loss": loss}, "metrics": metrics}


@torch.no_grad()
def _accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Share of images whose best class is the target's, the most probable one of a mixture."""
    labels = targets.argmax(1) if targets.is_floating_point() else targets
    return (logits.argmax(1) == labels).float().mean()
