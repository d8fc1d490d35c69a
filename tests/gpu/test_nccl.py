"""What can be shown of NCCL with one card: that a group of one rank takes what we ask of it. Training makes a group
only where there are several ranks, and NCCL refuses two of them on one card."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from harness.card import DEVICE
from harness.ranks import run_ranks
from harness.toy import ToyModel, toy_config
from harness.training import differences

from pet.engine import ddp, distributed
from pet.engine.ddp import sum_losses
from pet.engine.likeness import facts_of_this_rank

STEPS = 5


def _trained(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights after a few steps, which DDP's bucketing does not change in one rank."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(2)
    for _ in range(STEPS):
        inputs, targets = (torch.randn(12, width, generator=generator).to(DEVICE) for width in (8, 4))
        optimizer.zero_grad()
        sum_losses(model(inputs, targets)).backward()
        optimizer.step()
    return {name: value.cpu() for name, value in ddp.unwrap(model).state_dict().items()}


def _model() -> torch.nn.Module:
    torch.manual_seed(1)
    return ToyModel().to(DEVICE)


def _alone_and_in_a_group() -> tuple[list[str], dict[str, str], bool]:
    alone = _trained(_model())
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1, device_id=torch.device(DEVICE, 0))
    with patch.object(distributed, "_control_group", dist.new_group(backend="gloo")):
        distributed.limit_waits(60)
        model = ddp._wrapped(_model(), toy_config(), find_unused=False)
        grouped = _trained(model)
        numbers = torch.ones(3, device=DEVICE)
        gathered = torch.zeros(3, device=DEVICE)
        dist.all_gather_into_tensor(gathered, numbers)
        distributed.synchronize()
        facts = facts_of_this_rank("nccl", 1, "hash")
        distributed.destroy_process_group()
    return differences(alone, grouped), facts, bool(gathered.eq(1).all())


@pytest.mark.usefixtures("card")
def test_a_group_of_one_rank_trains_to_the_same_bits() -> None:
    ((different, facts, gathered),) = run_ranks(_alone_and_in_a_group, 1)
    assert different == []
    assert gathered
    assert facts["NCCL"] not in ("", "none"), facts
