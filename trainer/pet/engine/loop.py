"""The training loop: Pet's order of a step, with hooks around it.

The loop itself knows nothing of logs, checkpoints or evaluation: those are hooks, see `pet.engine.hooks.base` for their
order. Nothing in a step reads the device.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pet.config import Config, deciding_keys
from pet.engine.checkpointer import CheckPointer
from pet.engine.ddp import broadcast_buffers, explain_unused, require_same_state, unwrap
from pet.engine.distributed import get_world_size, is_main_process, is_peer_error, synchronize
from pet.engine.errors import EvaluationStopped, PeerLost, StopRequested
from pet.engine.events import WINDOW, EventStorage
from pet.engine.hooks.base import HookSet
from pet.engine.hooks.point import Point, attach
from pet.engine.loader import TrainLoader
from pet.engine.memory import explain_out_of_memory, keep_memory_snapshot
from pet.engine.metrics import UNLOGGED_LOSS, flush_metrics, write_host_metrics, write_metrics
from pet.engine.report import report, withdraw
from pet.engine.rng import get_rng_state, set_rng_state
from pet.engine.scheduler import LearningRateScheduler
from pet.engine.session import Session, current_session
from pet.engine.stop import StopAgreement
from pet.engine.update import Update
from pet.engine.workers import explain_lost_worker
from pet.runfiles.checkpoint_info import CheckpointInfo
from pet.runfiles.heartbeat import Section

logger = logging.getLogger(__name__)


def train(
    cfg: Config,
    model: nn.Module,
    train_loader: TrainLoader,
    optimizer: torch.optim.Optimizer,
    scheduler: LearningRateScheduler,
    checkpointer: CheckPointer,
    all_hooks: Sequence[Any],
) -> None:
    """Train from the checkpointer's state to the loader's last step.

    `model(inputs, targets)` returns `{"losses": {name: scalar}, "metrics": {name: scalar}}`; the sum of the losses is
    what backward gets. Raises StopRequested after a stop signal, with the state saved, and PeerLost when another rank
    is gone; whatever a step or a hook raises passes through after the hooks saw it, with what hooks raised afterwards
    in the ExceptionGroup `error.further`.
    """
    TrainLoop(cfg, model, train_loader, optimizer, scheduler, checkpointer, all_hooks).run()


class TrainLoop:
    """One run of the loop; hooks see it as their `trainer`."""

    def __init__(
        self,
        cfg: Config,
        model: nn.Module,
        loader: TrainLoader,
        optimizer: torch.optim.Optimizer,
        scheduler: LearningRateScheduler,
        checkpointer: CheckPointer,
        all_hooks: Sequence[Any],
    ) -> None:
        self.cfg = cfg
        self.model = model
        self.loader = loader
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.checkpointer = checkpointer
        self.session: Session = current_session()
        self.hooks = HookSet(all_hooks, self.session.metrics.hook_errors)
        self.hooks.attach(self)
        self.device = self.session.device
        self.max_iter = loader.max_iter
        self.iteration = loader.start_iter - 1  # the last finished step
        self.stop = StopAgreement()
        self._update = Update(cfg, model, optimizer, self.device)
        self.autocast = self._update.precision.autocast
        self._world_size = get_world_size()
        self._batch_shape: Sequence[int] = ()
        self._metrics_on: bool = cfg.TRAIN.METRICS_ON
        self._storage = EventStorage(loader.start_iter, cfg.MISC.DISPLAY_ITER,
                                     loader.iter_per_epoch if loader.max_epoch else -1, loader.max_iter)  # fmt: skip

    def run(self) -> None:
        """Every step that is left, with the hooks' points around them."""
        withdraw(self.session)
        with self._storage as storage:
            try:
                self._restore()
                self.hooks.before_train.all()
                self._restore_random_state()
                self.checkpointer.release()
                self.hooks.catch_up()
                self._steps(storage)
            except BaseException as raised:
                error = self._explained(raised)
                if not isinstance(error, StopRequested):
                    if error is not raised:
                        error.__cause__ = raised
                    report(self.session, error)  # hooks may take their time now, or never come back
                    self._tell(self.hooks.on_exception, error, exc=error)
                self._tell(self.hooks.after_train, error, storage=storage)
                self.session.publish()
                if error is raised:
                    raise
                raise error from raised
            # One rank's hook may export or upload what was trained, and takes longer than any step: none is done before
            # all are, for those that are left when others have ended count as hung.
            with self.session.within(Section.SAVE):
                self.hooks.after_train.all(storage=storage)
                synchronize()

    def save(self, *, background: bool = False) -> CheckpointInfo | None:
        """Save the state after the last finished step, as `CheckPointer.save` does; collective.

        Raises NonFinite rather than save a bad one.
        """
        flush_metrics(self._storage, guard=self.cfg.SOLVER.NAN_GUARD)
        broadcast_buffers(unwrap(self.model))
        state: dict[str, Any] = {
            "config": _texts(self.cfg),
            "hooks": self.hooks.state_dict(),
            "sampler": self.loader.state_dict(),
            "scaler": self._update.precision.state_dict(),
            "storage": self._storage.state_dict(),
        }
        self.hooks.on_checkpoint(state=state)
        epoch, into_epoch = divmod(self.iteration, self.loader.iter_per_epoch)
        whole_epoch = self.loader.max_epoch is not None and into_epoch == 0
        return self.checkpointer.save(
            self.model, self.optimizer, self.scheduler, infix="epoch" if whole_epoch else "iter",
            epoch=epoch if whole_epoch else None, extra=state, rank_state={"rng": get_rng_state()},
            background=background,
        )  # fmt: skip

    def save_best(self, score: float) -> None:
        """Keep the model if no evaluation so far gave a better score, a ratio. Raises NonFinite as `save` does."""
        flush_metrics(self._storage, guard=self.cfg.SOLVER.NAN_GUARD)
        epoch = self.iteration // self.loader.iter_per_epoch
        info = self.scheduler.info
        info["cur_acc"], info["cur_epoch"] = 100 * score, epoch
        self.checkpointer.save_best(
            unwrap(self.model), self.optimizer, self.scheduler, accuracy=100 * score, epoch=epoch,
            extra={"hooks": self.hooks.state_dict()},
        )  # fmt: skip

    def _restore(self) -> None:
        """The state beside model, optimizer and scheduler, but for the random one."""
        require_same_state(self.model, self.optimizer)
        if self.cfg.SOLVER.NAN_GUARD_SKIP and (places := self.checkpointer.left_out):
            self.loader.leave_out(places)
            logger.warning("numbers were not finite before: the samples of steps %s are left out, as "
                           "SOLVER.NAN_GUARD_SKIP says", ", ".join(map(str, places)))  # fmt: skip
        if not self.checkpointer.resume:
            return
        extra = self.checkpointer.extra
        for difference in self.loader.differences(extra.get("sampler", {})):
            logger.warning("resume is not bit-exact: the order of samples changed, %s", difference)
        if is_main_process():
            for difference in self.checkpointer.differences(self.model, _texts(self.cfg)):
                logger.warning("resume is not bit-exact: %s", difference)
        self._update.precision.load_state_dict(extra.get("scaler", {}))
        self._storage.load_state_dict(extra.get("storage", {}))
        self.hooks.load_state_dict(extra.get("hooks", {}))

    def _restore_random_state(self) -> None:
        """Last of all, since a hook may draw before the first step, as every iterator of a loader does."""
        state = self.checkpointer.rank_state(self.session.rank)
        if state is not None:
            set_rng_state(state["rng"])

    def _steps(self, storage: EventStorage) -> None:
        epochs = {"epoch": 0, "max_epoch": self.loader.max_epoch} if self.loader.max_epoch else {}
        batches = iter(self.loader)
        while self.iteration < self.max_iter and not self.stop.agreed:
            if epochs:
                epochs["epoch"] = self.iteration // self.loader.iter_per_epoch + 1
            self._step(batches, storage)
            try:
                self.hooks.after_step(storage=storage, **epochs)
            except EvaluationStopped:  # of a user's hook
                self.stop.now()
            if storage.closes_window:
                self._set_pace(storage)
            storage.step()
            if self.iteration < self.max_iter and not self.stop.agreed:
                self.stop.reached(self.iteration)
        if self.stop.agreed:
            self._stop()
        self.stop.settle()

    def _step(self, batches: Iterator[Any], storage: EventStorage) -> None:
        begun, data_time = time.perf_counter(), 0.0
        self.hooks.before_step(storage=storage)
        sizes = self.loader.sizes(storage.iter)
        samples = sum(sizes)
        for place, size in enumerate(sizes, start=1):
            inputs, targets, waited = self._fetch(batches)
            data_time += waited
            if place == 1:
                self.optimizer.zero_grad(set_to_none=True)
            share = size / samples
            outputs, loss = self._update.backward(inputs, targets, share, last=place == len(sizes))
            write_metrics(self._numbers(outputs, loss), storage, share)
        self.hooks.after_backward(storage=storage)
        told = self._update.apply()
        if not self._metrics_on:
            told.pop("grad_norm", None)  # what float16 left out is not only told: the guard has to know it

        self.iteration = self.session.iteration = storage.iter
        storage.samples += samples * self._world_size
        if told:
            write_metrics(told, storage)
        write_host_metrics({"data_time": data_time}, storage)
        self.session.heartbeat.step(self.iteration, time.perf_counter() - begun, data_time)

    def _fetch(self, batches: Iterator[Any]) -> tuple[Any, Any, float]:
        """The next batch's inputs and targets, on their way to the device, and the seconds waited for it."""
        heartbeat = self.session.heartbeat
        fetching = heartbeat.enter(Section.DATA)
        inputs, targets, _ = next(batches)
        waited = heartbeat.enter(Section.STEP) - fetching
        self._batch_shape = getattr(inputs, "shape", ())
        return inputs.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True), waited

    def _numbers(self, outputs: dict[str, Any], loss: torch.Tensor) -> dict[str, torch.Tensor]:
        """What is told of one batch. The model's own dictionaries stay as they are."""
        if not self._metrics_on:
            return {UNLOGGED_LOSS: loss}
        return {**outputs["losses"], **outputs["metrics"], "total_loss": loss}

    def _set_pace(self, storage: EventStorage) -> None:
        """How often ranks agree whether to stop, by numbers that all of them have just read alike."""
        if "time" in storage.histories():
            self.stop.pace(sum(storage.history(name).median(WINDOW) for name in ("time", "hook_time")))

    def _stop(self) -> None:
        self.hooks.on_stop.all(reason=f"stop requested at iteration {self.iteration}")
        # No rank may leave before rank 0 has committed: the first to end has its siblings ended too.
        synchronize()
        saved = self.session.metrics.checkpoint
        newest = "no checkpoint" if saved is None else f"the newest checkpoint is of iteration {saved.iteration}"
        reason = f"stop requested, saved at iteration {self.iteration}"
        if saved is None or saved.iteration != self.iteration:
            reason = f"stop requested at iteration {self.iteration}, {newest}"
        logger.info("Stopped: %s", reason)
        raise StopRequested(reason)

    @staticmethod
    def _tell(point: Point, error: BaseException, **keywords: Any) -> None:
        """Call hooks on the way out: the error that ends training is the one to be raised, whatever they do."""
        try:
            point.all(**keywords)
        except Exception as further:
            attach(error, further)

    def _explained(self, error: BaseException) -> BaseException:
        """The same error, or a clearer one for what torch hides in a RuntimeError: a lost peer or worker, no memory, an
        unused parameter."""
        if (lost := explain_lost_worker(error)) is not None:
            return lost
        if not isinstance(error, PeerLost) and is_peer_error(error):
            return PeerLost(str(error).splitlines()[0])
        out_of_memory = explain_out_of_memory(error, self.iteration + 1, self._batch_shape)
        if out_of_memory is not None:
            self._keep_memory_snapshot()
        return out_of_memory or explain_unused(error, self.model) or error

    def _keep_memory_snapshot(self) -> None:
        """Beside the log; the launcher waits for it as for a save."""
        folder = self.checkpointer.directory or self.session.run_dir.path
        with self.session.within(Section.SAVE):
            keep_memory_snapshot(Path(folder, "log", f"memory_iter{self.iteration + 1}_rank{self.session.rank}.pickle"))


def _texts(cfg: Config) -> dict[str, str]:
    """What decides the arithmetic, as texts to be compared with those of another start."""
    return {name: repr(value) for name, value in deciding_keys(cfg).items()}
