"""What a model costs: parameters, multiply-adds and activations, counted on the meta device before training begins.

Nothing is computed and no second real model is built: shapes alone run through the network.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pet.config import Config

logger = logging.getLogger(__name__)

aten = torch.ops.aten
Mode = Literal["conv", "model"]

_CONVOLUTIONS = (aten.convolution, aten._convolution)
_LINEAR = (aten.mm, aten.addmm)  # linear layers arrive as these two; products of batches (attention) as bmm
_BATCH_NORMS = (
    aten.native_batch_norm,
    aten._native_batch_norm_legit,
    aten._native_batch_norm_legit_no_training,
    aten._batch_norm_no_update,
    aten._batch_norm_with_update,
    aten.cudnn_batch_norm,
)
# Without multiply-adds in this convention, like every pointwise operator and every view: pooling, softmax, moving data.
_FREE = (aten._adaptive_avg_pool2d, aten.avg_pool2d, aten.max_pool2d_with_indices, aten.mean, aten.sum, aten.amax,
         aten.max, aten._softmax, aten._log_softmax, aten._safe_softmax, aten.hardswish_, aten.native_dropout, aten.cat,
         aten.stack, aten.flip, aten.roll, aten.clone, aten.copy_, aten._to_copy, aten._unsafe_view, aten.as_strided_,
         aten.constant_pad_nd, aten.index, aten.index_select, aten.fill_, aten.empty, aten.zeros, aten.new_zeros,
         aten.full, aten.arange)  # fmt: skip


class Analyser:
    """Counts one model for one image.

    A multiply-add is one FLOP, as in Pet: convolutions, linear layers, matrix products and batch norm (two per element
    at inference: scale and shift). Activations are the output elements of convolutions and linear layers.
    `flop_counter` of torch counts two per multiply-add and no batch norm.
    """

    def __init__(self, build_model: Callable[[], nn.Module], channels: int = 3) -> None:
        """`build_model` is called under the meta device; `channels` are those of an image."""
        with torch.device("meta"):
            self.model = build_model().eval()
        self.channels = channels
        self.unsupported: Counter[str] = Counter()  # operators of the last count that have no rule, with their calls

    def get_params(self) -> int:
        """The number of parameters, trainable or not."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def get_flops_activs(self, height: int, width: int, mode: Mode = "model") -> tuple[float, float]:
        """Millions of FLOPs and of activations for one image of `height` × `width` pixels; "conv": of convolutions.

        Raises RuntimeError if the model cannot run on shapes alone: it looks at values, or the image is too small.
        """
        counts = self._count(height, width)
        flops, activations = counts.convolutions if mode == "conv" else counts.total
        return flops / 1e6, activations / 1e6

    def _count(self, height: int, width: int) -> _Counts:
        images = torch.empty(1, self.channels, height, width, device="meta")
        counts = _Counts()
        with torch.no_grad(), _Count(counts):
            self.model(images)
        self.unsupported = counts.unsupported
        return counts


def log_analysis(build_model: Callable[[], nn.Module], cfg: Config) -> None:
    """Log Pet's line for one image of the size that is trained with, and the operators it leaves out."""
    (height, width), key = _image_size(cfg)
    analyser = Analyser(build_model, channels=len(cfg.DATA.PIXEL_MEAN))
    try:
        flops, activations = analyser.get_flops_activs(height, width)
        conv_flops, conv_activations = analyser.get_flops_activs(height, width, mode="conv")
    except RuntimeError as error:  # the count is a service; what is really wrong shows in the first step
        logger.warning("Params: %.3fM | FLOPs cannot be counted from shapes: %s", analyser.get_params() / 1e6, error)
        return
    logger.info("Params: %.3fM | FLOPs: %.4fM / Conv_FLOPs: %.4fM | Activations: %.4fM / Conv_Activations: %.4fM "
                "(millions for one image of %d x %d, by %s; one FLOP is one multiply-add)",
                analyser.get_params() / 1e6, flops, conv_flops, activations, conv_activations, height, width,
                key)  # fmt: skip
    if analyser.unsupported:
        logger.info("Operators that the analyser does not count: %s",
                    ", ".join(f"{name} ({calls})" for name, calls in sorted(analyser.unsupported.items())))  # fmt: skip


def _image_size(cfg: Config) -> tuple[tuple[int, int], str]:
    """(height, width) of training images, and the key that says so.

    That is the last crop's; where nothing crops, a square of TRAIN.RESIZE.SCALES[0] stands for all sizes.
    """
    train = cfg.TRAIN
    for transform in reversed(train.TRANSFORMS):
        if transform == "random_resized_crop":
            return train.RANDOM_RESIZED_CROP.SIZE, "TRAIN.RANDOM_RESIZED_CROP.SIZE"
        if transform == "random_crop":
            return train.RANDOM_CROP.CROP_SCALES[0], "TRAIN.RANDOM_CROP.CROP_SCALES"
        if transform == "center_crop":
            return train.CENTER_CROP.CROP_SCALES, "TRAIN.CENTER_CROP.CROP_SCALES"
    side: int = train.RESIZE.SCALES[0]
    return (side, side), "TRAIN.RESIZE.SCALES"


@dataclass
class _Counts:
    """(FLOPs, activations) of everything and of convolutions alone."""

    total: tuple[int, int] = (0, 0)
    convolutions: tuple[int, int] = (0, 0)
    unsupported: Counter[str] = field(default_factory=Counter)

    def add(self, operator: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> None:
        packet = operator.overloadpacket
        if packet in _BATCH_NORMS:
            self.total = _plus(self.total, (2 * args[0].numel(), 0))
        elif packet in flop_registry:
            flops = flop_registry[packet](*args, **kwargs, out_val=result) // 2  # it counts two per multiply-add
            cost = (flops, result.numel() if packet in (*_CONVOLUTIONS, *_LINEAR) else 0)
            self.total = _plus(self.total, cost)
            if packet in _CONVOLUTIONS:
                self.convolutions = _plus(self.convolutions, cost)
        elif not (packet in _FREE or operator.is_view or torch.Tag.pointwise in operator.tags):
            self.unsupported[str(packet)] += 1


class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator that runs, below composite ones such as linear and einsum."""

    def __init__(self, counts: _Counts) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.counts.add(func, args, kwargs or {}, result)
        return result


def _plus(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    return left[0] + right[0], left[1] + right[1]
