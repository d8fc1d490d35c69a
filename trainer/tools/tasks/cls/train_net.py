"""Train an image classifier: the ten steps of every Pet training script."""

from pet.engine.signals import catch_stop_signals

catch_stop_signals()  # before torch is imported: until then a signal would end this rank at once

import logging
from argparse import Namespace
from functools import partial

from pet.config import config_hash, load_config
from pet.engine.analyser import log_analysis
from pet.engine.checkpointer import CheckPointer
from pet.engine.ddp import distribute
from pet.engine.entry import run
from pet.engine.hooks.build import build_train_hooks
from pet.engine.hooks.evaluation import Evaluation
from pet.engine.loader import make_precise_bn_loader, make_test_data_loader, make_train_data_loader, set_run_length
from pet.engine.loop import train
from pet.engine.optimizer import Optimizer
from pet.engine.scheduler import LearningRateScheduler, warmup_iterations
from pet.engine.session import Session
from pet.tasks.cls.batch import collate, make_collate
from pet.tasks.cls.dataset import build_dataset
from pet.tasks.cls.evaluate import evaluate
from pet.tasks.cls.model import GeneralizedCNN

logger = logging.getLogger("pet.tools.cls")


def main(args: Namespace, session: Session) -> None:
    """Train what the configuration says, as one rank."""
    # 1. Configuration: default < file < command line, all its problems at once. Then device, process group, log, seeds.
    cfg = load_config("cls", cfg_file=args.cfg_file, overrides=args.opts, world_size=session.world_size)
    device = session.start(cfg)

    # 2. Analyser, on the meta device.
    if cfg.ANALYSER.ENABLED and session.rank == 0:
        log_analysis(partial(GeneralizedCNN, cfg), cfg)

    # 3. Model.
    model = GeneralizedCNN(cfg)
    logger.debug("%s", model)  # into the log file only

    # 4. Checkpointer: the newest verified checkpoint, else pre-trained weights, else from scratch.
    checkpointer = CheckPointer(
        cfg.MISC.CKPT,
        weights_path=cfg.TRAIN.WEIGHTS,
        auto_resume=cfg.TRAIN.AUTO_RESUME,
        keep=cfg.SOLVER.SNAPSHOT_KEEP,
        config_hash=config_hash(cfg),
        environment=session.environment,
    )
    session.record_in(checkpointer, cfg, args.cfg_file)
    checkpointer.load_model(model, convert_conv1=cfg.MISC.CONV1_RGB2BGR)
    session.place(model, cfg)

    # 5. Optimizer.
    optimizer = Optimizer(model, cfg.SOLVER.OPTIMIZER).build()
    checkpointer.load_optimizer(optimizer)
    if checkpointer.mismatch_keys:
        logger.info("The mismatch keys: %s", checkpointer.mismatch_keys)

    # 6. Data, that of the evaluation as well: what it lacks is to be known now, not hours later.
    dataset, mixing = build_dataset(cfg, is_train=True), make_collate(cfg)
    loader = make_train_data_loader(cfg, dataset, start_iter=checkpointer.iteration + 1, collate=mixing)
    set_run_length(cfg, loader)
    test_loader = None
    if cfg.EVAL.ENABLED and cfg.TEST.DATASETS:
        test_loader = make_test_data_loader(cfg, build_dataset(cfg, is_train=False), collate)

    # 7. Learning rate.
    scheduler = LearningRateScheduler(optimizer, cfg.SOLVER, iter_per_epoch=loader.iter_per_epoch)
    checkpointer.load_scheduler(scheduler)

    precise_bn_args = None
    if cfg.TEST.PRECISE_BN.ENABLED:
        precise_bn_args = [make_precise_bn_loader(cfg, dataset, mixing), model, device]

    # 8. Data-parallel ranks.
    model = distribute(model, cfg, loader.first_batch)

    # 9. Hooks.
    hooks = build_train_hooks(
        cfg,
        optimizer,
        scheduler,
        loader.max_iter,
        warmup_iterations(cfg.SOLVER.SCHEDULER, loader.iter_per_epoch),
        model=model,
        session=session,
        checkpointer=checkpointer,
        precise_bn_args=precise_bn_args,
    )
    if test_loader is not None:
        hooks.append(
            Evaluation(session, partial(evaluate, loader=test_loader, device=device), cfg, loader, key_metric="top1")
        )

    # 10. Train.
    train(cfg, model, loader, optimizer, scheduler, checkpointer, hooks)


if __name__ == "__main__":
    run(main, "tools/tasks/cls/train_net.py")
