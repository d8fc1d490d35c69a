from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from harness.toy import toy_config
from torch import nn

from pet.config import Config
from pet.engine.optimizer import Optimizer, clip_gradients

LR, DECAY, NORM, BIAS, EMBED = 0.1, 1e-4, 1e-5, 1e-6, 1e-7  # decays that tell which rule won


class Net(nn.Module):
    """A parameter for every rule."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.blocks = nn.ModuleDict({"backbone": nn.Linear(2, 2)})
        self.backbone_adapter = nn.Linear(2, 2, bias=False)
        self.norms = nn.ModuleList([nn.GroupNorm(1, 2), nn.LayerNorm(2), nn.InstanceNorm1d(2, affine=True),
                                    nn.SyncBatchNorm(2), nn.LocalResponseNorm(2)])  # fmt: skip
        self.embed = nn.Embedding(3, 2)
        self.relative_position_bias_table = nn.Parameter(torch.ones(2))
        self.absolute_pos_embed = nn.Parameter(torch.ones(2))
        self.bias = nn.Parameter(torch.ones(2))
        self.attention = nn.MultiheadAttention(2, 1)
        self.frozen = nn.Linear(2, 2)
        self.frozen.requires_grad_(False)
        self.tied = nn.Linear(2, 3, bias=False)
        self.tied.weight = self.embed.weight


def section(**keys: Any) -> Config:
    cfg = toy_config()
    optimizer = cfg.SOLVER.OPTIMIZER
    optimizer.BASE_LR, optimizer.WEIGHT_DECAY = LR, DECAY
    optimizer.WEIGHT_DECAY_NORM, optimizer.WEIGHT_DECAY_BIAS, optimizer.WEIGHT_DECAY_EMBED = NORM, BIAS, EMBED
    optimizer.BACKBONE_LR_FACTOR, optimizer.BIAS_LR_FACTOR = 0.5, 2.0
    for name, value in keys.items():
        optimizer[name] = value
    return optimizer


@pytest.fixture(scope="module")
def rules() -> dict[str, tuple[float, float]]:
    """Learning rate and decay of each parameter by name."""
    model = Net()
    names = {parameter: name for name, parameter in model.named_parameters()}
    optimizer = Optimizer(model, section()).build()
    return {names[parameter]: (group["lr"], group["weight_decay"])
            for group in optimizer.param_groups for parameter in group["params"]}  # fmt: skip


@pytest.mark.parametrize(("name", "lr", "decay"), [
    ("attention.in_proj_weight", LR, DECAY),
    ("attention.in_proj_bias", LR, DECAY),  # holds "bias" but is not named so
    ("backbone.0.weight", LR * 0.5, DECAY),
    ("blocks.backbone.weight", LR * 0.5, DECAY),
    ("backbone_adapter.weight", LR, DECAY),
    ("relative_position_bias_table", LR, 0.0),
    ("absolute_pos_embed", LR, 0.0),
    ("backbone.1.weight", LR * 0.5, NORM),
    ("norms.0.weight", LR, NORM),
    ("norms.1.weight", LR, NORM),
    ("norms.2.weight", LR, NORM),
    ("norms.3.weight", LR, NORM),
    ("embed.weight", LR, EMBED),
    ("bias", LR * 2, BIAS),
    ("attention.out_proj.bias", LR * 2, BIAS),
    ("norms.1.bias", LR * 2, BIAS),  # the rule for biases wins over that for norms
    ("backbone.0.bias", LR * 2, BIAS),  # and over that for the backbone
    ("backbone.1.bias", LR * 2, BIAS),
])  # fmt: skip
def test_a_parameter_follows_the_rule(
    rules: dict[str, tuple[float, float]], name: str, lr: float, decay: float
) -> None:
    assert rules[name] == (lr, decay)


def test_only_trainable_parameters_train_and_each_once() -> None:
    model = Net()
    optimizer = Optimizer(model, section()).build()
    parameters = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert len(parameters) == len(set(parameters))
    assert set(parameters) == {id(p) for p in model.parameters() if p.requires_grad}


def test_parameters_of_one_rate_and_decay_share_a_group() -> None:
    groups = Optimizer(Net(), section()).build().param_groups
    kinds = [(group["lr"], group["weight_decay"]) for group in groups]
    assert len(kinds) == len(set(kinds)) == 7


def test_the_traversal_is_the_order_of_modules_and_their_own_parameters() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = Optimizer(model, section()).build()
    expected = [model[0].weight, model[0].bias, model[1].weight, model[1].bias]
    assert [id(p) for p in optimizer.traversal] == [id(p) for p in expected]  # type: ignore[attr-defined]
    assert optimizer.base_lrs == [group["lr"] for group in optimizer.param_groups]  # type: ignore[attr-defined]


KINDS = {"SGD": torch.optim.SGD, "ADAMW": torch.optim.AdamW, "ADAM": torch.optim.Adam, "RMSPROP": torch.optim.RMSprop}


@pytest.mark.parametrize("kind", KINDS)
def test_the_type_is_the_one_that_is_named(kind: str) -> None:
    assert type(Optimizer(Net(), section(TYPE=kind)).build()) is KINDS[kind]


@pytest.mark.parametrize("kind", ["SGD", "ADAMW", "RMSPROP"])
def test_merged_groups_train_as_one_group_per_parameter_does(kind: str) -> None:
    torch.manual_seed(0)
    merged = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    single = copy.deepcopy(merged)
    ours = Optimizer(merged, section(TYPE=kind, NESTEROV=kind == "SGD")).build()
    rule = {id(p): group for group in ours.param_groups for p in group["params"]}
    settings = {"SGD": {"momentum": 0.9, "nesterov": True}, "RMSPROP": {"momentum": 0.9}, "ADAMW": {}}[kind]
    theirs = KINDS[kind](
        [{"params": [other], "lr": rule[id(mine)]["lr"], "weight_decay": rule[id(mine)]["weight_decay"]}
         for mine, other in zip(merged.parameters(), single.parameters(), strict=True)], **settings)  # fmt: skip
    for _ in range(5):
        inputs = torch.randn(3, 4)
        for model, optimizer in ((merged, ours), (single, theirs)):
            optimizer.zero_grad()
            model(inputs).square().sum().backward()
            optimizer.step()
    for mine, other in zip(merged.parameters(), single.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_row_18_adam_has_one_rate_and_decay_and_names_what_it_ignores(caplog: pytest.LogCaptureFixture) -> None:
    (group,) = Optimizer(Net(), section(TYPE="ADAM", BIAS_LR_FACTOR=1.0)).build().param_groups
    assert (group["lr"], group["weight_decay"]) == (LR, DECAY)
    (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "BACKBONE_LR_FACTOR, WEIGHT_DECAY_NORM, WEIGHT_DECAY_BIAS, WEIGHT_DECAY_EMBED are ignored" in message
    assert "BIAS_LR_FACTOR" not in message


def test_adam_without_rules_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    same = {f"WEIGHT_DECAY_{kind}": DECAY for kind in ("NORM", "BIAS", "EMBED")}
    Optimizer(Net(), section(TYPE="ADAM", BIAS_LR_FACTOR=1.0, BACKBONE_LR_FACTOR=1.0, **same)).build()
    assert caplog.text == ""


def gradients(
    kind: str, value: float, norm: float = 2.0, type_: str = "SGD"
) -> tuple[torch.Tensor | None, list[list[float]]]:
    """Clip gradients [3, 4] and [0, -12]; the returned norm and what is left of them."""
    clip = section(TYPE=type_).CLIP_GRADIENTS
    clip.CLIP_TYPE, clip.CLIP_VALUE, clip.NORM_TYPE = kind, value, norm
    model = nn.ParameterList([nn.Parameter(torch.zeros(2)) for _ in range(3)])
    optimizer = Optimizer(model, section(TYPE=type_)).build()
    model[0].grad, model[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([0.0, -12.0])
    returned = clip_gradients(optimizer, clip)
    assert model[2].grad is None
    return returned, [p.grad.tolist() for p in model if p.grad is not None]


@pytest.mark.parametrize("kind", KINDS)
def test_full_model_scales_by_one_norm_over_all_for_every_optimizer(kind: str) -> None:
    norm, left = gradients("full_model", 1.3, type_=kind)
    assert float(norm) == 13.0  # type: ignore[arg-type]
    assert left == [pytest.approx([0.3, 0.4], rel=1e-5), pytest.approx([0.0, -1.2], rel=1e-5)]


def test_full_model_below_the_limit_changes_nothing() -> None:
    assert gradients("full_model", 100.0)[1] == [[3.0, 4.0], [0.0, -12.0]]


def test_norm_looks_at_each_parameter_by_itself() -> None:
    norm, left = gradients("norm", 6.0)
    assert norm is None
    assert left == [[3.0, 4.0], pytest.approx([0.0, -6.0], rel=1e-5)]


def test_the_norm_may_be_another_one() -> None:
    # [3, 4] is longer than 4.5, but its largest number is not.
    assert gradients("norm", 4.5, norm=float("inf"))[1] == [[3.0, 4.0], pytest.approx([0.0, -4.5], rel=1e-5)]


def test_value_looks_at_each_number_by_itself() -> None:
    assert gradients("value", 3.5) == (None, [[3.0, 3.5], [0.0, -3.5]])
