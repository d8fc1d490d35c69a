"""Checkpoints of older Pets: read through a closed list of names, converted, and never executed."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.runs import Run, begin, files, solver, tiny_net
from harness.stores import Picture
from yacs.config import CfgNode

from pet.config import ConfigError
from pet.engine.checkpoint import old_pickle
from pet.engine.checkpointer import CheckPointer
from pet.engine.errors import CheckpointUnusable, exit_code
from pet.engine.scheduler import LearningRateScheduler

SAVED_AT = 6


def _per_parameter(run: Run) -> torch.optim.Optimizer:
    """Pet's old layout: one group for each parameter, in the order of the model's modules."""
    rules = {id(parameter): {"lr": lr, "weight_decay": group["weight_decay"]}
             for group, lr in zip(run.optimizer.param_groups, run.scheduler.base_lrs, strict=True)
             for parameter in group["params"]}  # fmt: skip
    order = [parameter for module in run.model.modules() for parameter in module.parameters(recurse=False)]
    return torch.optim.SGD([{"params": [p], **rules[id(p)]} for p in order], lr=0.1, momentum=0.9)


def _old_run() -> tuple[Run, dict[str, Any]]:
    """A run at step 6 with an optimizer in the old layout, and what an old Pet would have saved of it."""
    run = begin("")
    run.optimizer = _per_parameter(run)
    run.scheduler = LearningRateScheduler(run.optimizer, solver())
    run.reach(SAVED_AT)
    run.scheduler.info.update(best_acc=71.5, best_epoch=2)
    state = run.state()
    state["scheduler"] = {**state["scheduler"], "solver": CfgNode({"SCHEDULER": {"STEPS": [8, 14], "POLICY": "STEP"}})}
    return run, state


def _legacy_folder(path: Path, state: Any, **options: Any) -> Path:
    path.mkdir(exist_ok=True)
    torch.save(state, path / "model_latest.pth", **options)
    return path


def test_row_3_a_folder_of_an_older_pet_is_gone_on_from(tmp_path: Path) -> None:
    old, state = _old_run()
    run = begin(_legacy_folder(tmp_path, state), seed=5)
    checkpointer = run.checkpointer
    assert (checkpointer.resume, checkpointer.iteration) == (True, SAVED_AT)
    assert checkpointer.resumed is not None
    assert not checkpointer.resumed.verified
    assert (checkpointer.extra, checkpointer.rank_state(0)) == ({}, None)
    assert run.scheduler.iteration == SAVED_AT + 1
    assert run.scheduler.info == {"best_acc": 71.5, "best_epoch": 2, "cur_acc": 0.0, "cur_epoch": 0}
    for key, value in run.model.state_dict().items():
        assert torch.equal(value, old.model.state_dict()[key]), key


def test_momentum_of_one_group_per_parameter_goes_to_the_same_parameters_in_merged_groups(tmp_path: Path) -> None:
    old, state = _old_run()
    run = begin(_legacy_folder(tmp_path, state), seed=5)
    assert len(run.optimizer.param_groups) < len(old.optimizer.param_groups)
    expected = dict(old.model.named_parameters())
    for name, parameter in run.model.named_parameters():
        momentum = old.optimizer.state[expected[name]]["momentum_buffer"]
        assert torch.equal(run.optimizer.state[parameter]["momentum_buffer"], momentum), name


def test_an_old_run_and_its_conversion_train_alike(tmp_path: Path) -> None:
    old, state = _old_run()
    run = begin(_legacy_folder(tmp_path, state), seed=5)
    rates = zip(old.train(16), run.train(16), strict=True)
    assert all(set(before) == set(after) for before, after in rates)
    for key, value in run.model.state_dict().items():
        assert torch.equal(value, old.model.state_dict()[key]), key


def test_parameters_that_never_had_momentum_have_none_after_the_conversion(tmp_path: Path) -> None:
    _, state = _old_run()
    del state["optimizer"]["state"][0]  # of conv1
    run = begin(_legacy_folder(tmp_path, state), seed=5)
    assert run.model.backbone.conv1.weight not in run.optimizer.state
    assert len(run.optimizer.state) == 4


def test_old_groups_of_another_number_of_parameters_are_refused(tmp_path: Path) -> None:
    _, state = _old_run()
    state["optimizer"]["param_groups"].pop()
    with pytest.raises(ConfigError, match=r"SOLVER\.OPTIMIZER.*groups"):
        begin(_legacy_folder(tmp_path, state))


def test_momentum_of_another_shape_is_refused(tmp_path: Path) -> None:
    _, state = _old_run()
    state["optimizer"]["state"][0]["momentum_buffer"] = torch.zeros(4, 3, 5, 5)
    with pytest.raises(ConfigError, match=r"momentum_buffer .* has shape \[4, 3, 5, 5\]"):
        begin(_legacy_folder(tmp_path, state))


def test_the_first_save_commits_and_keeps_the_old_file(tmp_path: Path) -> None:
    run = begin(_legacy_folder(tmp_path, _old_run()[1]))
    before = (tmp_path / "model_latest.pth").read_bytes()
    run.reach(8)
    run.save()
    assert files(tmp_path) == ["model_iter8.pth", "model_latest.pth"]
    assert (tmp_path / ".superseded-legacy-0-model_latest.pth").read_bytes() == before
    again = begin(tmp_path)
    assert again.checkpointer.iteration == 8
    assert again.checkpointer.resumed is not None
    assert again.checkpointer.resumed.verified


@pytest.mark.parametrize("part", ["absent", "without iteration", "no number"])
def test_an_old_file_that_does_not_tell_its_iteration_is_not_gone_on_from(tmp_path: Path, part: str) -> None:
    _, state = _old_run()
    state["scheduler"] = {"info": {}}
    if part == "absent":
        del state["scheduler"]
    if part == "no number":
        state["scheduler"]["iteration"] = "last"
    with pytest.raises(CheckpointUnusable, match=r"does not tell its iteration.*TRAIN\.WEIGHTS"):
        begin(_legacy_folder(tmp_path, state))


@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "format before 1.6"])
@pytest.mark.parametrize("node", [True, False], ids=["with a yacs node", "plain"])
def test_weights_of_every_age_are_read(tmp_path: Path, zipped: bool, node: bool) -> None:
    old, state = _old_run()
    if not node:
        del state["scheduler"]["solver"]
    _legacy_folder(tmp_path, state, _use_new_zipfile_serialization=zipped)
    model = tiny_net(5)
    checkpointer = CheckPointer("", weights_path=str(tmp_path / "model_latest.pth"))
    checkpointer.load_model(model)
    assert checkpointer.retrain
    assert checkpointer.mismatch_keys == []
    assert torch.equal(model.head.weight, old.model.head.weight)


def test_what_is_read_through_the_list_of_names_is_plain(tmp_path: Path) -> None:
    node = CfgNode({"A": {"B": [1, CfgNode({"C": (2.5, None)})]}})
    torch.save({"node": node, "size": torch.Size([2]), "parameter": torch.nn.Parameter(torch.ones(1))}, tmp_path / "x")
    state = old_pickle.load(str(tmp_path / "x"))
    assert state["node"] == {"A": {"B": [1, {"C": (2.5, None)}]}}
    assert type(state["node"]["A"]) is dict
    assert torch.equal(state["parameter"], torch.ones(1))


class _Call:
    """Pickled as a call of `function`, which loading would make."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


def _attacks(mark: Path) -> dict[str, Any]:
    """Objects whose full unpickling makes the file `mark`, or gets at what could."""
    command, node = f"open({str(mark)!r}, 'w').close()", CfgNode()
    dict.__setitem__(node, "SOLVER", _Call(exec, command))  # its own way in makes a copy, which calls already
    return {
        "shell": _Call(os.system, f"touch {mark}"),
        "eval": _Call(eval, command),
        "exec": _Call(exec, command),
        "open": _Call(open, str(mark), "w"),
        "attribute": _Call(getattr, torch.ones(1), "numpy"),
        "nested load": _Call(pickle.loads, pickle.dumps(_Call(exec, command))),
        "class of torch": _Call(torch.nn.Linear, 2, 2),
        "in a yacs node": node,
    }


ATTACKS = sorted(_attacks(Path("mark")))


@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "format before 1.6"])
@pytest.mark.parametrize("name", ATTACKS)
def test_weights_that_would_execute_something_are_refused_unexecuted(tmp_path: Path, name: str, zipped: bool) -> None:
    mark = tmp_path / "executed"
    _, state = _old_run()
    state["extra"] = _attacks(mark)[name]
    _legacy_folder(tmp_path, state, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ConfigError, match=r"TRAIN\.WEIGHTS.*holds more than tensors and plain values"):
        CheckPointer("", weights_path=str(tmp_path / "model_latest.pth"))
    assert not mark.exists()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_old_folder_that_would_execute_something_stops_the_run(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "executed"
    _, state = _old_run()
    state["extra"] = _attacks(mark)[name]
    with pytest.raises(CheckpointUnusable, match="holds more than tensors and plain values") as raised:
        begin(_legacy_folder(tmp_path / "ckpt", state))
    assert exit_code(raised.value) == 80
    assert not mark.exists()


@pytest.mark.parametrize("path", ["_rebuild_tensor_v2.__globals__", "_rebuild_tensor_v2.__call__"])
def test_a_name_inside_an_allowed_one_is_refused(path: str) -> None:
    # Protocol 4 looks dotted names up attribute by attribute.
    pickled = b"\x80\x04" + b"\x8c\x0ctorch._utils" + b"\x8c" + bytes([len(path)]) + path.encode() + b"\x93."
    with pytest.raises(pickle.UnpicklingError, match="is not read from a file"):
        old_pickle.Unpickler(io.BytesIO(pickled)).load()


def test_without_the_list_the_attacks_would_work(tmp_path: Path) -> None:
    """A test of the tests: each of these does run code when it is unpickled in full."""
    for name in ("shell", "eval", "exec", "nested load"):
        mark = tmp_path / name.replace(" ", "-")
        attack = _attacks(mark)[name]
        torch.save({"extra": attack}, tmp_path / "x")
        torch.load(tmp_path / "x", weights_only=False)
        assert mark.exists(), name


def test_a_damaged_old_file_stops_the_run(tmp_path: Path) -> None:
    folder = _legacy_folder(tmp_path, _old_run()[1])
    path = folder / "model_latest.pth"
    with zipfile.ZipFile(path) as archive:
        inside = next(info for info in archive.infolist() if info.filename.endswith("data/0"))
    data = bytearray(path.read_bytes())
    data[inside.header_offset + 200] ^= 1
    path.write_bytes(bytes(data))
    before = Picture.of(folder)
    with pytest.raises(CheckpointUnusable, match="damaged"):
        begin(folder)
    assert Picture.of(folder) == before
