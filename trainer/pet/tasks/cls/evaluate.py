"""Top-1 and top-5 accuracy over all ranks."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pet.engine.distributed import get_world_size, peer_errors
from pet.engine.evaluation import evaluating, until_stopped


def evaluate(model: nn.Module, loader: DataLoader[Any], device: torch.device) -> dict[str, float]:
    """`{"top1", "top5"}`, shares of the data set from 0 to 1; collective, the same on every rank.

    The loader gives each rank its own share. Counts stay on the device until the end. Raises EvaluationStopped on all
    ranks if one was asked to stop meanwhile, and RuntimeError unless they together saw as many samples as the data set
    has. With up to five classes, top5 is 1.
    """
    counts = torch.zeros(3, dtype=torch.int64, device=device)  # right at first, right among five, seen
    with evaluating(model):
        for images, labels, _ in until_stopped(loader):
            logits = model(images.to(device, non_blocking=True))
            counts += _count(logits, labels.to(device, non_blocking=True))
    if get_world_size() > 1:
        with peer_errors():
            dist.all_reduce(counts)
    top1, top5, seen = counts.tolist()
    expected = len(loader.dataset)  # type: ignore[arg-type]
    if seen != expected:
        raise RuntimeError(f"the evaluation saw {seen} samples instead of {expected}: ranks must share the data set")
    return {"top1": top1 / seen, "top5": top5 / seen}


def _count(logits: Tensor, labels: Tensor) -> Tensor:
    """[right at first, right among the best five, all] of one batch, int64."""
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    right = best == labels.unsqueeze(1)
    return torch.stack([right[:, 0].sum(), right.sum(), labels.new_tensor(len(labels))])
