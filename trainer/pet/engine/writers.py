"""Where the numbers of a log window go: Pet's log line, `metrics.json`, and the file that the launcher serves.

Writers run on rank 0 only, inside an EventStorage, after the window was read.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

from pet.engine.events import WINDOW, EventStorage, get_event_storage
from pet.engine.hooks.timing import pace_seconds
from pet.engine.logger import clock, log_rows
from pet.engine.memory import peak_memory_mib
from pet.engine.metrics import OVERFLOWS
from pet.engine.records import drop_records
from pet.engine.session import Session

MAX_TERMS = 32
# Names with a meaning of their own; what else a storage holds came from the model or from users' hooks.
RESERVED = frozenset({"time", "data_time", "hook_time", "lr", "total_loss", "grad_norm", "amp_scale", OVERFLOWS})


class EventWriter:
    """Base of all writers."""

    def write(self) -> None:
        """Write the newest numbers of the current storage."""
        raise TypeError(f"{type(self).__name__} has to define write()")

    def close(self) -> None:
        """Let go of files."""


class CommonMetricPrinter(EventWriter):
    """Pet's log line: up to four rows per window, medians for losses, means for times."""

    def __init__(self, yaml: str, max_iter: int) -> None:
        self.yaml = os.path.basename(yaml)
        self.max_iter = max_iter

    def write(self) -> None:
        """Log the rows."""
        storage = get_event_storage()
        log_rows([self._progress(storage), self._times(storage), *_losses(storage), *_accuracies(storage)])

    def _progress(self, storage: EventStorage) -> str:
        parts = [self.yaml]
        if storage.iter_per_epoch > 0:
            epochs = math.ceil(self.max_iter / storage.iter_per_epoch)
            parts.append(f"epoch: {(storage.iter - 1) // storage.iter_per_epoch + 1}/{epochs}")
        parts.append(f"iter: {storage.iter}/{self.max_iter}")
        parts.append(f"lr: {storage.history('lr').latest:.6f}")
        parts.append(f"eta: {clock(eta_seconds(storage, self.max_iter))}")
        return _row(parts)

    def _times(self, storage: EventStorage) -> str:
        iter_time, data_time = storage.history("time").global_avg, storage.history("data_time").avg(WINDOW)
        return _row([f"max_mem: {peak_memory_mib()}M", f"iter_time: {iter_time:.4f}", f"data_time: {data_time:.4f}"])


class JSONWriter(EventWriter):
    """One JSON object per window, appended to a file. Each record says which attempt of which job wrote it."""

    def __init__(self, path: str | Path, *, uid: str, attempt: int, resumed_from: int) -> None:
        """Open for appending, and drop this job's own records of steps that are about to be done again.

        Raises OSError.
        """
        self.identity = {"uid": uid, "attempt": attempt}
        path = Path(path)
        self.redo_until = drop_records(path, uid, after=resumed_from) if path.exists() else 0
        self.file = path.open("a", encoding="utf-8")

    def write(self) -> None:
        """Append the newest values."""
        storage = get_event_storage()
        numbers = storage.latest_with_smoothing_hint(WINDOW)
        finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        self.file.write(json.dumps({"iteration": storage.iter, **self.identity, **finite}) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class RunFileWriter(EventWriter):
    """The numbers that the launcher serves as `/metrics` and `/status`."""

    def __init__(self, session: Session, max_iter: int, redo_until: int = 0) -> None:
        """Steps up to `redo_until` were done before by an earlier attempt."""
        self.session = session
        self.max_iter = max_iter
        self.redo_until = redo_until
        self._accounted = 0.0  # seconds of steps

    def write(self) -> None:
        """Fill the session's metrics and publish them."""
        storage, metrics = get_event_storage(), self.session.metrics
        steps, samples = storage.iter - metrics.iteration, storage.samples - metrics.samples_total
        self._account(storage)
        metrics.iteration, metrics.samples_total = storage.iter, storage.samples
        if storage.iter_per_epoch > 0:
            metrics.epoch = (storage.iter - 1) // storage.iter_per_epoch + 1
        metrics.step_seconds = storage.history("time").median(WINDOW)
        metrics.pace_seconds = pace_seconds(storage)
        metrics.samples_per_second = samples / steps / metrics.pace_seconds
        metrics.eta_seconds = eta_seconds(storage, self.max_iter)
        metrics.nonfinite_losses, metrics.amp_skipped_steps = storage.nonfinite, storage.overflows
        numbers = storage.latest_with_smoothing_hint(WINDOW)
        metrics.learning_rate = numbers.pop("lr", None)
        metrics.amp_loss_scale = storage.latest().get("amp_scale")
        losses = {"total": numbers["total_loss"]} if "total_loss" in numbers else {}
        losses.update({name: value for name, value in numbers.items() if "loss" in name and name not in RESERVED})
        user = {name: value for name, value in numbers.items() if "loss" not in name and name not in RESERVED}
        metrics.dropped_terms = max(0, len(losses) - MAX_TERMS) + max(0, len(user) - MAX_TERMS)
        metrics.losses = dict(list(losses.items())[:MAX_TERMS])
        metrics.user = dict(list(user.items())[:MAX_TERMS])
        self.session.publish()

    def _account(self, storage: EventStorage) -> None:
        """Add the window's seconds to the totals."""
        accounting, total = self.session.metrics.accounting, storage.history("time").total
        kind = "redoSeconds" if storage.iter <= self.redo_until else "productiveSeconds"
        accounting[kind] = accounting.get(kind, 0.0) + total - self._accounted
        self._accounted = total
        # All that came before the first step: what hooks took between steps is no start.
        since_then = total + storage.history("hook_time").total
        accounting.setdefault("startupSeconds", time.monotonic() - self.session.started - since_then)


def eta_seconds(storage: EventStorage, max_iter: int) -> float:
    """The time left at the present pace, hooks included; never negative."""
    return max(0.0, pace_seconds(storage) * (max_iter - storage.iter))


def _losses(storage: EventStorage) -> list[str]:
    histories = storage.histories()
    if "total_loss" not in histories:
        return []
    parts = [f"total loss: {histories['total_loss'].median(WINDOW):.4f}"]
    terms = [name for name in histories if "loss" in name and name != "total_loss"]
    if len(terms) > 1:
        parts.append("losses")
        parts.append("  ".join(f"{name}: {histories[name].median(WINDOW):.6f}" for name in terms))
    return [_row(parts)]


def _accuracies(storage: EventStorage) -> list[str]:
    histories = storage.histories()
    names = [name for name in histories if "acc" in name]
    return [_row(["  ".join(f"{name}: {histories[name].median(WINDOW):.4f}" for name in names)])] if names else []


def _row(parts: list[str]) -> str:
    return "|-" + "-".join(f"[{part}]" for part in parts)
