"""The `pet_train_` metrics of Prometheus, made from the run files when scraped: that costs training nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pet.launch.counters import Counters
from pet.launch.plan import Plan
from pet.launch.record import Record, Snapshot
from pet.launch.status import Clock, progress
from pet.runfiles.heartbeat import Heartbeat
from pet.runfiles.histogram import SAVE_SECONDS, Histogram
from pet.runfiles.metrics import JobMetrics

_PREFIX = "pet_train_"
_SAVE_RESULTS = ("success", "error")
_Labelled = Iterable[tuple[tuple[str, ...], float | None]]


class TrainCollector(Collector):
    """Registered with a registry of its own: no series of the launcher's Python process."""

    def __init__(self, plan: Plan, record: Record) -> None:
        self._plan = plan
        self._record = record

    def collect(self) -> Iterator[Metric]:
        """All families; the job-level ones only on the node of rank 0."""
        snapshot, clock = self._record.snapshot(), Clock.now()
        yield from _per_rank(snapshot, clock)
        if snapshot.has_rank_zero:
            yield from _job(self._plan, snapshot)
            yield from _job_counters(snapshot.counters)
            yield from _checkpoints(snapshot)
            yield from _last_progress(snapshot.observation.heartbeats.get(0), clock)


def _per_rank(snapshot: Snapshot, clock: Clock) -> Iterator[Metric]:
    ranks = sorted(snapshot.ranks.values())
    counters = snapshot.counters
    stepped = {str(rank): beat for rank, beat in snapshot.observation.heartbeats.items() if beat.steps}
    yield _gauge(
        "last_step_timestamp_seconds",
        "When the rank finished its last step.",
        ["rank"],
        (((rank,), clock.to_epoch(beat.last_step_seconds)) for rank, beat in stepped.items()),
    )
    yield _gauge(
        "rank_up",
        "Whether the process of the rank is alive.",
        ["rank"],
        (((str(rank),), float(rank in snapshot.running)) for rank in ranks),
    )
    yield _counter(
        "steps",
        "Steps done here, redone ones included.",
        ["rank"],
        (((str(rank),), counters.steps.get(rank, 0)) for rank in ranks),
    )
    yield _counter(
        "step_seconds",
        "Time in steps, waiting for data included.",
        ["rank"],
        (((str(rank),), counters.step_seconds.get(rank, 0.0)) for rank in ranks),
    )
    yield _counter(
        "data_wait_seconds",
        "Time waiting for data.",
        ["rank"],
        (((str(rank),), counters.data_seconds.get(rank, 0.0)) for rank in ranks),
    )
    yield _counter(
        "rank_restarts",
        "Restarts of all ranks in place, by the class of the failure.",
        ["reason"],
        (((reason,), count) for reason, count in snapshot.restarts.items()),
    )


def _job(plan: Plan, snapshot: Snapshot) -> Iterator[Metric]:
    metrics = snapshot.observation.metrics
    labels = {
        "cfg": plan.cfg_file,
        "script": plan.script.path,
        "world_size": str(plan.world_size),
        "precision": metrics.precision if metrics else "",
        "torch": metrics.torch if metrics else "",
        "attempt": str(plan.environment.attempt),
    }
    yield _gauge("info", "What is trained, and with what.", list(labels), [(tuple(labels.values()), 1.0)])
    values = progress(snapshot)
    for name, text, value in (
        ("iteration", "The last finished iteration; goes back when a checkpoint is resumed.", values["iteration"]),
        ("max_iterations", "The iteration at which training ends.", values["maxIterations"]),
        ("epoch", "The running epoch.", values["epoch"]),
        ("learning_rate", "The shown learning rate.", values["learningRate"]),
        ("eta_seconds", "Estimated time to the end.", values["etaSeconds"]),
        ("expected_step_seconds", "Running median of the duration of a step.", values["stepSeconds"]),
    ):
        yield _gauge(name, text, [], [((), value)])
    if metrics is not None:
        resumed = float(metrics.resumed_from or 0)
        yield _gauge("amp_loss_scale", "What float16 multiplies the loss by.", [], [((), metrics.amp_loss_scale)])
        yield _gauge("resume_iteration", "Where this start went on from; 0 is from scratch.", [], [((), resumed)])
        yield from _numbers_by_name(metrics)


def _numbers_by_name(metrics: JobMetrics) -> Iterator[Metric]:
    yield _gauge("loss", "The model's losses.", ["term"], (((term,), value) for term, value in metrics.losses.items()))
    yield _gauge(
        "eval_metric",
        "The newest evaluation.",
        ["dataset", "metric"],
        (((metrics.dataset, name), value) for name, value in metrics.metrics.items()),
    )
    yield _gauge(
        "user_metric",
        "What hooks of the user put into the event storage.",
        ["name"],
        (((name,), value) for name, value in metrics.user.items()),
    )


def _job_counters(counters: Counters) -> Iterator[Metric]:
    yield _counter("samples", "Samples trained on, all ranks together.", [], [((), counters.samples)])
    yield _counter("nonfinite_loss", "Losses that were not finite.", [], [((), counters.nonfinite_losses)])
    skipped = "Steps left out because float16 gradients overflowed."
    yield _counter("amp_skipped_steps", skipped, [], [((), counters.amp_skipped_steps)])
    yield _counter(
        "dropped_terms", "Losses and user metrics over the limit of shown ones.", [], [((), counters.dropped_terms)]
    )
    yield _counter(
        "hook_errors",
        "Errors of hooks that did not end the run.",
        ["hook"],
        (((hook,), count) for hook, count in counters.hook_errors.items()),
    )


def _checkpoints(snapshot: Snapshot) -> Iterator[Metric]:
    metrics = snapshot.observation.metrics
    checkpoint = metrics.checkpoint if metrics else None
    if checkpoint is not None:
        yield _gauge(
            "checkpoint_last_success_timestamp_seconds",
            "When the newest checkpoint was saved.",
            [],
            [((), checkpoint.saved_at)],
        )
        yield _gauge("checkpoint_iteration", "The newest checkpoint's iteration.", [], [((), checkpoint.iteration)])
        yield _gauge("checkpoint_size_bytes", "The newest checkpoint's size.", [], [((), checkpoint.bytes)])
    if metrics and metrics.checkpoint_interval_iterations and metrics.pace_seconds is not None:
        yield _gauge(
            "checkpoint_interval_seconds",
            "Expected time between two checkpoints.",
            [],
            [((), metrics.checkpoint_interval_iterations * metrics.pace_seconds)],
        )
    yield _counter(
        "checkpoint_failures",
        "Checkpoints that could not be saved.",
        ["reason"],
        (((reason,), count) for reason, count in snapshot.counters.checkpoint_failures.items()),
    )
    durations = {result: Histogram(SAVE_SECONDS) for result in _SAVE_RESULTS} | snapshot.counters.checkpoint_saves
    family = HistogramMetricFamily(
        f"{_PREFIX}checkpoint_save_duration_seconds", "Time to save a checkpoint.", labels=["result"]
    )
    for result, histogram in durations.items():
        limits = [*(str(bound) for bound in histogram.bounds), "+Inf"]
        family.add_metric([result], list(zip(limits, accumulate(histogram.counts), strict=True)), histogram.total)
    yield family


def _last_progress(heartbeat: Heartbeat | None, clock: Clock) -> Iterator[Metric]:
    if heartbeat is not None:
        yield _gauge(
            "last_progress_timestamp_seconds",
            "When rank 0 last finished a step or changed its section.",
            [],
            [((), clock.to_epoch(heartbeat.monotonic_seconds))],
        )


def _gauge(name: str, text: str, labels: list[str], values: _Labelled) -> Metric:
    family = GaugeMetricFamily(_PREFIX + name, text, labels=labels)
    for label_values, value in values:
        if value is not None:
            family.add_metric(list(label_values), value)
    return family


def _counter(name: str, text: str, labels: list[str], values: _Labelled) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, text, labels=labels)
    for label_values, value in values:
        if value is not None:
            family.add_metric(list(label_values), value)
    return family
