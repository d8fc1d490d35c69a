"""Filling a model: strictly from a checkpoint of its own, by the ends of names from somebody else's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from harness.runs import JOB, TinyNet, begin, tiny_net, trained
from harness.stores import overwrite
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pet.config import ConfigError
from pet.engine.checkpoint.weights import match_by_suffix
from pet.engine.checkpointer import CheckPointer
from pet.engine.errors import CheckpointUnusable

KEYS = list(TinyNet().state_dict())


def _weights(path: Path, state: Any) -> str:
    torch.save(state, path / "weights.pth")
    return str(path / "weights.pth")


def _filled(path: Path, state: Any, model: nn.Module, **options: Any) -> CheckPointer:
    """Weights in a file, and the model filled from it."""
    checkpointer = CheckPointer("", weights_path=_weights(path, state))
    checkpointer.load_model(model, **options)
    return checkpointer


def _equal(model: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"model": state, "optimizer": {}}],
                         ids=["raw dictionary", "checkpoint"])  # fmt: skip
def test_weights_fill_the_model_and_nothing_is_resumed(tmp_path: Path, wrap: Any) -> None:
    state, model = tiny_net(1).state_dict(), tiny_net(2)
    checkpointer = _filled(tmp_path, wrap(state), model)
    assert _equal(model, state)
    assert (checkpointer.retrain, checkpointer.resume) == (True, False)
    assert checkpointer.mismatch_keys == []
    assert checkpointer.iteration == 0
    assert checkpointer.resumed is None
    assert checkpointer.checkpoint is not None


def test_without_weights_training_begins_from_scratch(tmp_path: Path) -> None:
    model = tiny_net(2)
    checkpointer = CheckPointer(str(tmp_path), environment=JOB)
    checkpointer.load_model(model)
    assert _equal(model, tiny_net(2).state_dict())
    assert (checkpointer.retrain, checkpointer.resume, checkpointer.checkpoint) == (False, False, None)
    assert checkpointer.mismatch_keys == []


def test_row_22_a_weight_of_another_shape_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_net(2, classes=5)
    before = {key: value.clone() for key, value in model.head.state_dict().items()}
    checkpointer = _filled(tmp_path, tiny_net(1).state_dict(), model)
    assert checkpointer.mismatch_keys == ["head.weight", "head.bias"]
    assert _equal(model.head, before)
    assert _equal(model.backbone, tiny_net(1).backbone.state_dict())
    assert "head.weight has shape [5, 4], its weight head.weight [2, 4]: not loaded" in caplog.text


def test_keys_without_a_weight_are_told(tmp_path: Path) -> None:
    state = {key: value for key, value in tiny_net(1).state_dict().items() if not key.startswith("backbone.bn1")}
    checkpointer = _filled(tmp_path, state, tiny_net(2))
    assert checkpointer.mismatch_keys == [key for key in KEYS if key.startswith("backbone.bn1")]


def test_a_file_that_is_not_there_is_named_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"TRAIN\.WEIGHTS.*no file '.*/absent\.pth'"):
        CheckPointer("", weights_path=str(tmp_path / "absent.pth"))


@pytest.mark.parametrize("state", [{"epoch": 3}, [1, 2], {"model": {"x": 1}}], ids=["numbers", "list", "no tensors"])
def test_a_file_without_weights_is_named_with_its_key(tmp_path: Path, state: Any) -> None:
    with pytest.raises(ConfigError, match=r"TRAIN\.WEIGHTS.*weights\.pth"):
        _filled(tmp_path, state, tiny_net())


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"layer.kernel": torch.ones(2), "layer.offset": torch.ones(2)},
         "the model has backbone.conv1.weight, .*, the file layer.kernel, layer.offset"),
        ({"head.bias": torch.ones(7), "backbone.bn1.num_batches_tracked": torch.tensor(3)},
         r"head.bias has shape \[2\], its weight head.bias \[7\]"),
    ],
    ids=["names", "shapes"],
)  # fmt: skip
def test_a_file_of_which_nothing_fits_is_no_start_from_scratch(tmp_path: Path, state: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"TRAIN\.WEIGHTS.*weights\.pth fits the model: {why}"):
        _filled(tmp_path, state, tiny_net())


def test_a_file_that_is_cut_off_is_named_with_its_key(tmp_path: Path) -> None:
    path = Path(_weights(tmp_path, tiny_net().state_dict()))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigError, match=r"TRAIN\.WEIGHTS.*weights\.pth"):
        CheckPointer("", weights_path=str(path))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_prefix_of_a_wrapper_is_cut_off_where_all_keys_have_it(tmp_path: Path, prefix: str) -> None:
    model, state = tiny_net(2), tiny_net(1).state_dict()
    checkpointer = _filled(tmp_path, {prefix + key: value for key, value in state.items()}, model)
    assert _equal(model, state)
    assert checkpointer.mismatch_keys == []


class _Wrapper(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def test_a_model_whose_own_names_begin_so_is_resumed(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.checkpointer.save(_Wrapper(run.model), run.optimizer, run.scheduler)
    model = tiny_net(2)
    CheckPointer(str(tmp_path), environment=JOB).load_model(_Wrapper(model))
    assert _equal(model, run.model.state_dict())


def test_a_prefix_that_only_some_keys_have_is_part_of_the_name(tmp_path: Path) -> None:
    state = {
        f"module.{key}" if key.startswith("head") else key: value for key, value in tiny_net(1).state_dict().items()
    }
    checkpointer = _filled(tmp_path, state, tiny_net(2))
    assert checkpointer.mismatch_keys == ["head.weight", "head.bias"]


def test_row_23_names_are_compared_from_their_end_and_only_at_dots(tmp_path: Path) -> None:
    weights = tiny_net(1).backbone.state_dict()  # conv1.weight, bn1.weight, … without the model's "backbone."
    decoy = {"1.weight": torch.zeros_like(weights["conv1.weight"]), "d.weight": torch.zeros(2, 4)}
    model = tiny_net(2)
    checkpointer = _filled(tmp_path, {**weights, **decoy}, model)
    assert _equal(model.backbone, weights)
    assert checkpointer.mismatch_keys == ["head.weight", "head.bias"]


def test_the_longest_name_that_fits_wins(tmp_path: Path) -> None:
    weights = tiny_net(1).state_dict()
    short = {key.removeprefix("backbone."): torch.zeros_like(value) for key, value in weights.items()}
    model = tiny_net(2)
    _filled(tmp_path, {**short, **weights}, model)
    assert _equal(model, weights)


def test_row_23_one_weight_may_fill_several_keys_which_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = nn.ModuleDict({"first": nn.Linear(2, 2), "second": nn.Linear(2, 2)})
    checkpointer = _filled(tmp_path, {"weight": torch.eye(2)}, model)
    assert checkpointer.mismatch_keys == ["first.bias", "second.bias"]
    assert torch.equal(model["second"].weight, torch.eye(2))
    assert "weight weight fills 2 keys: first.weight, second.weight" in caplog.text


def test_with_use_weights_once_the_first_key_gets_it(tmp_path: Path) -> None:
    model = nn.ModuleDict({"first": nn.Linear(2, 2), "second": nn.Linear(2, 2)})
    checkpointer = _filled(tmp_path, {"weight": torch.eye(2)}, model, use_weights_once=True)
    assert checkpointer.mismatch_keys == ["first.bias", "second.weight", "second.bias"]
    assert torch.equal(model["first"].weight, torch.eye(2))


NAMES = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(".".join)


@given(keys=st.sets(NAMES, min_size=1), names=st.sets(NAMES), once=st.booleans())
def test_every_key_gets_the_longest_of_the_weights_that_it_ends_with(
        keys: set[str], names: set[str], once: bool) -> None:  # fmt: skip
    model, weights = (dict.fromkeys(sorted(some), torch.zeros(1)) for some in (keys, names))
    match, free = match_by_suffix(model, weights, once), set(names)
    for key in sorted(keys):
        fitting = [name for name in free if f".{key}".endswith(f".{name}")]
        assert match.filled.get(key) == max(fitting, key=len, default=None)
        if once:
            free -= {match.filled.get(key, "")}
    assert set(match.missing) == keys - set(match.filled)
    assert set(match.unused) == names - set(match.filled.values())


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_row_24_convert_conv1_swaps_the_channels_of_the_stem_wherever_it_is(tmp_path: Path, prefix: str) -> None:
    model, weights = tiny_net(2), tiny_net(1).backbone.state_dict()
    _filled(tmp_path, {prefix + key: value for key, value in weights.items()}, model, convert_conv1=True)
    assert torch.equal(model.backbone.conv1.weight, weights["conv1.weight"][:, [2, 1, 0]])
    assert torch.equal(model.backbone.bn1.weight, weights["bn1.weight"])


def test_row_24_convert_conv1_without_a_stem_to_swap_is_an_error(tmp_path: Path) -> None:
    weights = {"layer1.conv1.weight": torch.zeros(4, 16, 3, 3), "myconv1.weight": torch.zeros(4, 3, 3, 3)}
    with pytest.raises(ConfigError, match=r"MISC\.CONV1_RGB2BGR.*no conv1\.weight of 3 input channels"):
        _filled(tmp_path, weights, tiny_net(), convert_conv1=True)


def test_a_resumed_stem_was_swapped_before_and_stays_as_it_is(tmp_path: Path) -> None:
    saved = trained(tmp_path, 2).model.state_dict()
    model = tiny_net(2)
    CheckPointer(str(tmp_path), environment=JOB).load_model(model, convert_conv1=True)
    assert _equal(model, saved)


def test_a_checkpoint_of_ones_own_beats_the_weights(tmp_path: Path) -> None:
    weights = _weights(tmp_path, tiny_net(7).state_dict())
    saved = trained(tmp_path / "ckpt", 2, weights_path=weights).model.state_dict()
    run = begin(tmp_path / "ckpt", weights_path=weights, seed=3)
    assert (run.checkpointer.resume, run.checkpointer.retrain) == (True, False)
    assert run.checkpointer.iteration == 2
    assert _equal(run.model, saved)


def test_weights_that_lost_a_bit_in_a_checkpoint_folder_are_not_used(tmp_path: Path) -> None:
    trained(tmp_path / "other", 2)
    path = tmp_path / "other" / "model_iter2.pth"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    overwrite(path, bytes(data))
    with pytest.raises(CheckpointUnusable, match=r"model_iter2\.pth does not verify: its data has another checksum"):
        begin(tmp_path / "ckpt", weights_path=str(path))


def test_row_22_a_resume_into_another_model_lists_every_difference(tmp_path: Path) -> None:
    trained(tmp_path, 2)
    model = tiny_net(0, classes=3)
    model.register_parameter("scale", nn.Parameter(torch.ones(1)))
    model.backbone.bn1 = nn.BatchNorm2d(4, affine=False)
    with pytest.raises(ConfigError) as raised:
        CheckPointer(str(tmp_path), environment=JOB).load_model(model)
    text = str(raised.value)
    for difference in ("scale is not in", "head.weight has shape [3, 4], its weight head.weight [2, 4]",
                       "head.bias has shape [3]", "backbone.bn1.weight of", "backbone.bn1.bias of"):  # fmt: skip
        assert difference in text
    remedy = text.splitlines()[0]  # what is left of a message that is cut
    for word in ("MODEL: ", "5 keys", "spec.checkpoint.path", "TRAIN.WEIGHTS"):
        assert word in remedy


def test_training_changes_nothing_in_the_file_that_it_began_with(tmp_path: Path) -> None:
    trained(tmp_path, 2)
    before = (tmp_path / "model_iter2.pth").read_bytes()
    run = begin(tmp_path)
    run.reach(5)
    assert (tmp_path / "model_iter2.pth").read_bytes() == before
