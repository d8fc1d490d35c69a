"""The same training by several trainers: a toy model, four losses kept every 20 steps, a rate that moves each step.

None of them saves, evaluates or draws. Each function trains on a source of batches that notes when it is asked; where a
trainer's step depends on those before it, `history` steps lie behind it already.

Ours is there twice: with what all of them do, and with its default hooks, which also time the steps, collect garbage on
all ranks at once, and keep a log line, a record and the metrics that the launcher serves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench_clock import Stamps
from harness.counting import give
from harness.memory import memory_folder
from harness.toy import ToyModel, short_toy

from pet.engine.events import EventStorage, get_event_storage
from pet.engine.hooks.base import HookSet
from pet.engine.hooks.reporting import MetricReducer
from pet.engine.hooks.schedule import LRScheduler
from pet.engine.loop import TrainLoop

PERIOD = 20  # steps between two looks at the losses
RATE, MOMENTUM = 0.01, 0.9
LOSSES = ("loss_cls", "loss_box", "loss_mask", "loss_rpn", "total_loss")


class OldRun:
    """A hook that fills the histories as so many steps would."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def before_train(self) -> None:
        storage = get_event_storage()
        for name in (*LOSSES, "cls_loss", "time", "data_time", "hook_time"):
            for _ in range(self.steps):
                storage.put_scalar(name, 1.0)


def parts_of_a_training() -> tuple[ToyModel, torch.optim.SGD]:
    """Model and optimizer, the same ones for all."""
    torch.manual_seed(0)
    model = ToyModel()
    return model, torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)


def _moving(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))


def total_of(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    """What backward gets."""
    first, *others = losses.values()
    for loss in others:
        first = first + loss
    return first


def _show(step: int, losses: dict[str, torch.Tensor]) -> None:
    if step % PERIOD == 0:
        logging.getLogger("bench").info({name: float(loss) for name, loss in losses.items()})


def bare(batches: Stamps, steps: int, history: int) -> None:
    """The least that trains; it keeps nothing and its rate stays."""
    model, optimizer = parts_of_a_training()
    for inputs, targets, _ in batches:
        optimizer.zero_grad()
        total_of(model(inputs, targets)["losses"]).backward()
        optimizer.step()


class Shown:
    """A hook that shows the losses of a window's end, as the other trainers' loops are made to."""

    priority = 80  # after they were read

    def after_step(self, storage: EventStorage, **epochs: int) -> None:
        if storage.closes_window:
            logging.getLogger("bench").info(storage.latest())


def pet(batches: Stamps, steps: int, history: int) -> None:
    """Default hooks."""
    with memory_folder() as folder:
        _pet(folder, batches, steps, history).run()


def pet_as_others(batches: Stamps, steps: int, history: int) -> None:
    """The losses kept and a rate that moves, no more; the heartbeat cannot be left out."""
    with memory_folder() as folder:
        loop = _pet(folder, batches, steps, history)
        old = [OldRun(history)] if history else []
        loop.hooks = HookSet([LRScheduler(loop.optimizer, loop.scheduler), MetricReducer(guard=True), Shown(), *old])
        loop.hooks.attach(loop)
        loop.run()


def _pet(folder: Path, batches: Stamps, steps: int, history: int) -> TrainLoop:
    loop = short_toy(
        folder, steps, "MISC.DISPLAY_ITER", PERIOD, "SOLVER.OPTIMIZER.BIAS_LR_FACTOR", 1.0,
        "SOLVER.OPTIMIZER.WEIGHT_DECAY", 0.0, save=False, hooks=[OldRun(history)] if history else [],
    ).build()  # fmt: skip
    give(loop, batches)
    return loop


def lightning(batches: Stamps, steps: int, history: int, log: bool = True) -> None:
    """`log_dict` and a CSV logger, or no logger at all."""
    from lightning import LightningModule, Trainer
    from lightning.pytorch.loggers import CSVLogger

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self._sgd = parts_of_a_training()

        def training_step(self, batch: Any, _index: int) -> torch.Tensor:
            losses = self.model(batch[0], batch[1])["losses"]
            total = total_of(losses)
            if log:
                self.log_dict({**losses, "total_loss": total})
            return total

        def configure_optimizers(self) -> Any:
            scheduler = {"scheduler": _moving(self._sgd), "interval": "step"}
            return {"optimizer": self._sgd, "lr_scheduler": scheduler}

    with memory_folder() as folder:
        trainer = Trainer(
            accelerator="cpu", devices=1, max_steps=history + steps, log_every_n_steps=PERIOD,
            logger=CSVLogger(str(folder)) if log else False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        loop = trainer.fit_loop.epoch_loop
        loop._batches_that_stepped = history
        loop.automatic_optimization.optim_progress.optimizer.step.total.completed = history
        trainer.fit(Module(), train_dataloaders=batches)
        assert trainer.global_step == history + steps


def lightning_without_log(batches: Stamps, steps: int, history: int) -> None:
    """No logger, no `log_dict`."""
    lightning(batches, steps, history, log=False)


def accelerate(batches: Stamps, steps: int, history: int) -> None:
    """`prepare`, `accumulate`, `backward`; it keeps nothing of former steps."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, sgd = parts_of_a_training()
    model, optimizer, scheduler = accelerator.prepare(model, sgd, _moving(sgd))
    for step, (inputs, targets, _) in enumerate(batches, history + 1):
        with accelerator.accumulate(model):
            losses = model(inputs, targets)["losses"]
            accelerator.backward(total_of(losses))
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        _show(step, losses)


def ignite(batches: Stamps, steps: int, history: int) -> None:
    """An engine with two handlers."""
    from ignite.engine import Engine, Events
    from ignite.handlers import LRScheduler

    model, optimizer = parts_of_a_training()

    def train(_engine: Any, batch: Any) -> dict[str, torch.Tensor]:
        optimizer.zero_grad()
        losses: dict[str, torch.Tensor] = model(batch[0], batch[1])["losses"]
        total_of(losses).backward()
        optimizer.step()
        return losses

    engine = Engine(train)
    engine.add_event_handler(Events.ITERATION_STARTED, LRScheduler(_moving(optimizer)))
    engine.add_event_handler(Events.ITERATION_COMPLETED(every=PERIOD),
                             lambda engine: _show(engine.state.iteration, engine.state.output))  # fmt: skip
    engine.run(batches, max_epochs=1, epoch_length=steps)


def mmengine(batches: Stamps, steps: int, history: int) -> None:
    """Default hooks but the one that saves."""
    from mmengine.hooks import Hook
    from mmengine.logging import HistoryBuffer
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    class Model(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.model, _ = parts_of_a_training()

        def forward(self, inputs: torch.Tensor, targets: torch.Tensor, _indices: Any, mode: str) -> Any:
            return self.model(inputs, targets)["losses"]

    class Old(Hook):
        def after_train_iter(self, runner: Any, batch_idx: int, **_: Any) -> None:
            if history and batch_idx == 0:
                scalars = runner.message_hub.log_scalars
                for name in scalars:
                    scalars[name] = HistoryBuffer([1.0] * history, [1] * history)

    with memory_folder() as folder:
        Runner(
            model=Model(), work_dir=str(folder), train_dataloader=batches, custom_hooks=[Old()],
            default_scope="mmengine",
            train_cfg={"by_epoch": False, "max_iters": steps, "val_interval": 10**9},
            optim_wrapper={"optimizer": {"type": "SGD", "lr": RATE, "momentum": MOMENTUM}},
            param_scheduler={"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": 10**6},
            default_hooks={"logger": {"type": "LoggerHook", "interval": PERIOD}, "checkpoint": None},
            log_processor={"by_epoch": False, "window_size": PERIOD},
        ).train()  # fmt: skip


LOOPS: dict[str, tuple[Callable[[Stamps, int, int], None], bool]] = {  # and whether former steps could matter to it
    "bare loop": (bare, False),
    "Pet, what the others do": (pet_as_others, True),
    "Pet, default hooks": (pet, True),
    "ignite, two handlers": (ignite, False),
    "accelerate": (accelerate, False),
    "Lightning, logger off": (lightning_without_log, True),
    "Lightning, log_dict and CSV": (lightning, True),
    "MMEngine, default hooks": (mmengine, True),
}
