"""What the ranks have done, summed over all starts that this launcher has seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from pet.launch.ranks import RankGroup
from pet.runfiles.heartbeat import Heartbeat
from pet.runfiles.histogram import Histogram
from pet.runfiles.metrics import JobMetrics, read_metrics_file

Key = TypeVar("Key", int, str)
Amount = TypeVar("Amount", int, float, Histogram)


@dataclass(frozen=True)
class Observation:
    """The run files of one start at one moment; `metrics` is there only on the node of rank 0."""

    heartbeats: dict[int, Heartbeat]  # by global rank
    metrics: JobMetrics | None


def observe(group: RankGroup) -> Observation:
    """Read what the ranks of a start have written so far."""
    heartbeats = {}
    metrics = None
    for local_rank, rank in group.ranks.items():
        heartbeat = group.heartbeat(local_rank)
        if heartbeat is not None:
            heartbeats[rank] = heartbeat
        if rank == 0:
            metrics = read_metrics_file(group.directory.metrics(local_rank))
    return Observation(heartbeats, metrics)


@dataclass
class Counters:
    """Totals that never go down. Those of single ranks are by global rank."""

    steps: dict[int, int] = field(default_factory=dict)
    step_seconds: dict[int, float] = field(default_factory=dict)
    data_seconds: dict[int, float] = field(default_factory=dict)
    samples: int = 0
    dropped_terms: int = 0
    nonfinite_losses: int = 0
    amp_skipped_steps: int = 0
    hook_errors: dict[str, int] = field(default_factory=dict)
    checkpoint_failures: dict[str, int] = field(default_factory=dict)
    checkpoint_saves: dict[str, Histogram] = field(default_factory=dict)

    @classmethod
    def of(cls, observation: Observation) -> Counters:
        """The totals of one start."""
        heartbeats, metrics = observation.heartbeats, observation.metrics
        counters = cls(
            steps={rank: heartbeat.steps for rank, heartbeat in heartbeats.items()},
            step_seconds={rank: heartbeat.step_seconds for rank, heartbeat in heartbeats.items()},
            data_seconds={rank: heartbeat.data_seconds for rank, heartbeat in heartbeats.items()},
        )
        if metrics is not None:
            counters.samples = metrics.samples_total
            counters.dropped_terms = metrics.dropped_terms
            counters.nonfinite_losses = metrics.nonfinite_losses
            counters.amp_skipped_steps = metrics.amp_skipped_steps
            counters.hook_errors = metrics.hook_errors
            counters.checkpoint_failures = metrics.checkpoint_failures
            counters.checkpoint_saves = metrics.checkpoint_saves
        return counters

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            steps=_sums(self.steps, other.steps),
            step_seconds=_sums(self.step_seconds, other.step_seconds),
            data_seconds=_sums(self.data_seconds, other.data_seconds),
            samples=self.samples + other.samples,
            dropped_terms=self.dropped_terms + other.dropped_terms,
            nonfinite_losses=self.nonfinite_losses + other.nonfinite_losses,
            amp_skipped_steps=self.amp_skipped_steps + other.amp_skipped_steps,
            hook_errors=_sums(self.hook_errors, other.hook_errors),
            checkpoint_failures=_sums(self.checkpoint_failures, other.checkpoint_failures),
            checkpoint_saves=_sums(self.checkpoint_saves, other.checkpoint_saves),
        )


def _sums(first: dict[Key, Amount], second: dict[Key, Amount]) -> dict[Key, Amount]:
    sums = dict(first)
    for key, amount in second.items():
        sums[key] = sums[key] + amount if key in sums else amount
    return sums
