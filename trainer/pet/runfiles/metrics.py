"""The metric file: the job's numbers, already reduced over the ranks, as rank 0 last wrote them.

JSON knows no NaN. A number that is not finite is written as null, and null is read as NaN where a number belongs and as
None where the field may be absent.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from pet.runfiles.atomic import replace_text
from pet.runfiles.checkpoint_info import CheckpointInfo, SaveFailure
from pet.runfiles.histogram import Histogram


@dataclass
class JobMetrics:
    """One log window's numbers. Counters count since this start of the ranks began; times are in seconds."""

    attempt: int
    restart: int
    world_size: int
    script: str = ""
    cfg: str = ""
    torch: str = ""
    precision: str = ""
    device: str = ""
    iteration: int = 0
    max_iterations: int = 0
    epoch: int | None = None
    losses: dict[str, float] = field(default_factory=dict)  # "total" among them
    learning_rate: float | None = None
    samples_per_second: float | None = None
    eta_seconds: float | None = None
    step_seconds: float | None = None  # the expected duration of a step: a running median, without hooks
    pace_seconds: float | None = None  # from one step to the next: with what hooks, saves and evaluations take
    samples_total: int = 0
    metrics: dict[str, float] = field(default_factory=dict)  # newest evaluation, for example top1
    dataset: str = ""  # the one evaluated
    checkpoint: CheckpointInfo | None = None
    checkpoint_failure: SaveFailure | None = None  # None: the newest save succeeded, or there was none
    resumed_from: int | None = None  # None: from scratch
    checkpoint_interval_iterations: int | None = None
    checkpoint_saves: dict[str, Histogram] = field(default_factory=dict)  # durations by result: success, error
    checkpoint_failures: dict[str, int] = field(default_factory=dict)  # by reason
    accounting: dict[str, float] = field(default_factory=dict)  # productive-, redo-, stall-, startupSeconds
    hook_errors: dict[str, int] = field(default_factory=dict)  # by hook
    user: dict[str, float] = field(default_factory=dict)  # what users' hooks put into the storage
    dropped_terms: int = 0
    nonfinite_losses: int = 0
    amp_loss_scale: float | None = None  # None: the loss is not scaled
    amp_skipped_steps: int = 0


def write_metrics_file(path: str | Path, metrics: JobMetrics) -> None:
    """Replace the file. Raises OSError; the loop reports that and goes on."""
    try:
        text = json.dumps(metrics, default=vars, allow_nan=False)
    except ValueError:  # a number is not finite: rare enough for every window not to be searched for one
        text = json.dumps(finite_or_none(metrics), allow_nan=False)
    replace_text(path, text)


def read_metrics_file(path: str | Path) -> JobMetrics | None:
    """The newest numbers, or None before the first log window, or where there is nothing that can be read: its launcher
    has to go on all the same. Keys of a newer writer are ignored."""
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(told, dict):
        return None
    known = {entry.name for entry in fields(JobMetrics)}
    values: dict[str, Any] = {key: value for key, value in told.items() if key in known}
    for name in ("losses", "metrics", "user", "accounting"):
        values[name] = {key: math.nan if value is None else value for key, value in values.get(name, {}).items()}
    if values.get("checkpoint") is not None:
        values["checkpoint"] = CheckpointInfo(**values["checkpoint"])
    if values.get("checkpoint_failure") is not None:
        values["checkpoint_failure"] = SaveFailure(**values["checkpoint_failure"])
    values["checkpoint_saves"] = {
        result: Histogram(**histogram) for result, histogram in values.get("checkpoint_saves", {}).items()
    }
    return JobMetrics(**values)


def finite_or_none(value: Any) -> Any:
    """The same nest of dicts, lists and dataclasses, these as dicts, with None for every number that is not finite."""
    if isinstance(value, dict):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_none(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return finite_or_none(vars(value)) if is_dataclass(value) else value
