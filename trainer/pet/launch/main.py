"""The launcher from its command line to its exit code. The main thread owns the signals, the agent has a thread."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from pet.config import ConfigError, JobEnvironment
from pet.launch import signals
from pet.launch.endpoints import Endpoints
from pet.launch.identity import settle
from pet.launch.memory import own_group
from pet.launch.occupation import hold_folder
from pet.launch.options import parse_options
from pet.launch.patience import stop_seconds
from pet.launch.plan import Plan, make_plan
from pet.launch.record import Record
from pet.launch.run_folder import run_folder
from pet.launch.supervisor import Supervisor
from pet.launch.talk import say
from pet.launch.termination import (
    reserve_termination_message,
    termination_message,
    write_termination_message,
)
from pet.launch.verdict import Verdict
from pet.runfiles.exits import ExitCode
from pet.runfiles.port import write_port
from pet.store.errors import CheckpointUnusable, Fenced, StorageFull

# What keeps a launcher from starting ranks, as they themselves would end by it.
_REFUSALS = (
    (ConfigError, ExitCode.CONFIG_ERROR),
    (CheckpointUnusable, ExitCode.CHECKPOINT_UNUSABLE),
    (Fenced, ExitCode.NO_RESTART),
    (StorageFull, ExitCode.STORAGE_FULL),
)
# How long the launcher of node 0, whose store carries the launchers' reports, waits for the others to have read them.
_LINGER_SECONDS = 5.0
# A peer that is gone is news, and told as such. At its own level torch prints 20 lines of C++ frames for every call to
# the store of one. The ranks inherit it.
_TORCH_LOG = ("TORCH_CPP_LOG_LEVEL", "ERROR")


def run(argv: Sequence[str], tools: Path) -> NoReturn:
    """Run a launcher and end this process. `tools` is the folder of the training scripts."""
    code = launch(argv, tools)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not through the interpreter's exit: the agent's thread may still wait in a rendezvous that we no longer want.
    os._exit(code)


def launch(argv: Sequence[str], tools: Path) -> ExitCode:
    """Start the ranks that the command line and the environment ask for; returns how they ended."""
    os.environ.setdefault(*_TORCH_LOG)  # before anything imports torch
    try:
        options = parse_options(argv)
    except SystemExit:  # --help is answered
        return ExitCode.SUCCEEDED
    except ConfigError as error:
        return _refuse(error)
    with ExitStack() as stack:
        try:
            plan = make_plan(options, JobEnvironment.from_environ(os.environ), tools)
            supervisor = _prepare(plan, stack)
            reserve_termination_message(os.environ)
        except (Exception, SystemExit) as error:  # whoever exits here has trained nothing, whatever its code
            return _refuse(error)
        verdict = _supervise(supervisor)
        _report(verdict, supervisor)
        # Without a verdict the agent's thread still waits for something of the store, which answers one at a time.
        if supervisor.verdict is not None and supervisor.peers is not None:
            supervisor.peers.leave(_LINGER_SECONDS)
        return verdict.code


def _prepare(plan: Plan, stack: ExitStack) -> Supervisor:
    """Take the checkpoint folder and the port, and say what will run. Raises what `_REFUSALS` lists."""
    hold_folder(plan, stack)
    plan = settle(plan)
    run_dir = run_folder(plan.environment, stack)
    endpoints = Endpoints(plan.environment)
    plan = replace(plan, environment=replace(plan.environment, metrics_port=endpoints.port))
    record = Record()
    supervisor = Supervisor(plan, record, run_dir, own_group())
    endpoints.serve(plan, record)
    stack.callback(endpoints.close)
    write_port(run_dir, endpoints.port)
    _greet(plan)
    return supervisor


def _supervise(supervisor: Supervisor) -> Verdict:
    """The main thread's part: pass stop signals on until the agent is done."""
    threading.Thread(target=_agent_thread, args=(supervisor,), name="agent", daemon=True).start()
    asked = False
    while signals.inbox.get() != signals.AGENT_DONE:
        if not supervisor.request_stop():
            return Verdict.plain(ExitCode.PREEMPTED, "stopped while no rank was running")
        seconds = stop_seconds(supervisor.plan.environment.grace_seconds)
        say("already saving…" if asked else f"stopping: the ranks save a checkpoint and leave within {seconds:g} s")
        asked = True
    if supervisor.verdict is None:
        return Verdict(ExitCode.APP_ERROR, "RuntimeError", "the launcher's agent ended without a verdict")
    return supervisor.verdict


def _agent_thread(supervisor: Supervisor) -> None:
    """The ranks die with this thread (see `rank_main`), so it ends only when they are over."""
    try:
        from pet.launch.agent import run_agent  # imports torch

        run_agent(supervisor)
    except BaseException as error:
        supervisor.conclude(Verdict.on_launcher(error))
    finally:
        signals.inbox.put(signals.AGENT_DONE)


def _report(verdict: Verdict, supervisor: Supervisor) -> None:
    if verdict.code is ExitCode.CONFIG_ERROR and verdict.rank == 0 and verdict.traceback:  # it left a report
        say(f"ends with {int(verdict.code)}: {verdict.type}, as rank 0 says above")
    elif verdict.code is not ExitCode.SUCCEEDED:
        say(f"ends with {int(verdict.code)}: {verdict}")
    snapshot = supervisor.record.snapshot()
    left = supervisor.budget.left_after(snapshot.checkpoint)
    write_termination_message(termination_message(verdict, supervisor.plan, snapshot, restarts_left=left), os.environ)


def _refuse(error: BaseException) -> ExitCode:
    """Say why nothing is started, and leave it as the termination message."""
    code = next((code for kind, code in _REFUSALS if isinstance(error, kind)), None)
    if code is None:
        verdict = Verdict.on_launcher(error)
        if verdict.code is ExitCode.STORAGE_FULL:
            say(verdict.message)
        else:
            traceback.print_exc()
    else:
        for line in str(error).splitlines():
            say(line)
        verdict = Verdict(code, type(error).__name__, str(error))
    write_termination_message(termination_message(verdict, None, None), os.environ)
    return verdict.code


def _greet(plan: Plan) -> None:
    device = f"CUDA devices {', '.join(plan.devices)}" if plan.devices else "CPU"
    where = plan.environment.bind_address or "localhost"
    for warning in plan.warnings:
        say(f"warning: {warning}")
    say(f"{plan.script.path} with {plan.cfg_file}")
    nodes = f" on {plan.environment.nnodes} nodes" if plan.environment.nnodes > 1 else ""
    say(f"ranks: {plan.world_size}{nodes} ({device})")
    say(f"checkpoints: {plan.checkpoint_dir or 'none are saved'}")
    say(f"live: http://{where}:{plan.environment.metrics_port}/status and /metrics; Ctrl-C saves and stops")
