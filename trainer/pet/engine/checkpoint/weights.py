"""Which weight of a file goes to which key of a model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from pet.config.errors import ConfigError, Problem

logger = logging.getLogger(__name__)

# Named by a job's field, and by the configuration's key.
ANOTHER_FOLDER = "another checkpoint folder (spec.checkpoint.path; without a job MISC.CKPT)"

State = Mapping[str, torch.Tensor]


@dataclass
class Match:
    """`filled` maps model keys to weight keys; `shapes` tells of those whose weight has another shape."""

    filled: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def weights_in(checkpoint: Mapping[str, Any], model: State) -> dict[str, torch.Tensor]:
    """The model's part of a checkpoint, or a raw dictionary of weights as it is.

    The prefix `module.` of a model saved inside a data-parallel wrapper is cut off where all keys have it and none is
    one of `model`, which may be a wrapper of another kind itself.
    """
    weights: Mapping[str, Any] = checkpoint["model"] if isinstance(checkpoint.get("model"), Mapping) else checkpoint
    tensors = {key: value for key, value in weights.items() if isinstance(value, torch.Tensor)}
    if tensors and all(key.startswith("module.") and key not in model for key in tensors):
        return {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors


def match_exactly(model: State, weights: State) -> Match:
    """By equal names, as a resume demands."""
    match = Match(unused=[key for key in weights if key not in model])
    for key in model:
        _fill(match, model, weights, key, key if key in weights else None)
    return match


def match_by_suffix(model: State, weights: State, use_once: bool = False) -> Match:
    """Each model key takes the longest weight key that it ends with, at a dot; another shape is skipped.

    With `use_once` a weight fills one key only, the first in the model's order.
    """
    match, used = Match(), set[str]()
    for key in model:
        candidates = (key[start:] for start in (0, *(i + 1 for i, letter in enumerate(key) if letter == ".")))
        found = next((name for name in candidates if name in weights and not (use_once and name in used)), None)
        if _fill(match, model, weights, key, found) and found is not None:
            used.add(found)
    match.unused = [key for key in weights if key not in used]
    _log_repeated(match)
    return match


def check_resumable(match: Match, file: str) -> None:
    """Raise ConfigError with the remedy and every key in which model and checkpoint differ."""
    differences = [f"{key} is not in {file}" for key in match.missing]
    differences += match.shapes
    differences += [f"{key} of {file} is not in the model" for key in match.unused]
    if differences:
        # The remedy first: a report may have no room for all keys of a model.
        remedy = (
            f"the model differs from that of {file} in {len(differences)} keys: set the keys of MODEL back, or take "
            f"{ANOTHER_FOLDER} and load what fits by TRAIN.WEIGHTS"
        )
        raise ConfigError(Problem("MODEL", text) for text in (remedy, *differences))


def check_of_use(match: Match, model: State, file: str, field: str) -> None:
    """Raise ConfigError on `field` if no weight fits: training would begin from scratch, and nobody know it. Counters
    fit any model."""
    if any(model[key].dim() for key in match.filled):
        return
    wanted, there = ", ".join(match.missing[:3]), ", ".join(match.unused[:3])
    why = match.shapes[0] if match.shapes else f"the model has {wanted}, …, the file {there}, …"
    raise ConfigError.of(field, f"no weight in {file} fits the model: {why}; give a file of the same architecture")


def swap_stem_channels(weights: State, file: str) -> dict[str, torch.Tensor]:
    """The weights with the input channels of the stem, `conv1.weight` of 3 channels, in the order [2, 1, 0].

    Raises ConfigError if there is none.
    """
    stems = {key for key, weight in weights.items()
             if f".{key}".endswith(".conv1.weight") and weight.dim() == 4 and weight.shape[1] == 3}  # fmt: skip
    if not stems:
        raise ConfigError.of(
            "MISC.CONV1_RGB2BGR", f"{file} holds no conv1.weight of 3 input channels to swap: set it to False"
        )
    return {key: weight[:, [2, 1, 0]] if key in stems else weight for key, weight in weights.items()}


def _fill(match: Match, model: State, weights: State, key: str, name: str | None) -> bool:
    if name is None:
        match.missing.append(key)
    elif weights[name].shape != model[key].shape:
        match.shapes.append(f"{key} has shape {list(model[key].shape)}, its weight {name} {list(weights[name].shape)}")
    else:
        match.filled[key] = name
        return True
    return False


def _log_repeated(match: Match) -> None:
    keys: dict[str, list[str]] = {}
    for key, name in match.filled.items():
        keys.setdefault(name, []).append(key)
    for name, filled in keys.items():
        if len(filled) > 1:
            logger.warning("weight %s fills %d keys: %s", name, len(filled), ", ".join(filled))
