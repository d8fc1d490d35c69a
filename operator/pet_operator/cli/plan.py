"""`pet plan`: the checks that the operator makes of a job, and what would be made of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pet.config import Config
from pet.config.check import Verdict, check_text
from pet.config.job import JobSpec, PetTrainingJob
from pet_operator.cli.output import Exit, Format, line, print_json

Files = Annotated[list[str], typer.Option("-f", "--filename", metavar="FILE", help="A job file; - reads stdin.")]
Output = Annotated[Format, typer.Option("-o", "--output", help="json: one object per job, each on its own line.")]


def plan(files: Files, output: Output = Format.TEXT) -> None:
    """Check jobs as the operator does, and show what would run. Nothing is started."""
    verdicts = [
        verdict for file in files for verdict in check_text(read(file), "stdin" if file == "-" else file)
    ]  # fmt: skip
    for verdict in verdicts:
        if output is Format.JSON:
            print_json(as_json(verdict))
        else:
            print_text(verdict)
    if not all(verdict.valid for verdict in verdicts):
        raise typer.Exit(Exit.INVALID)


def read(file: str) -> str:
    """The text of a file, or of stdin for `-`. A file that cannot be read is a usage error."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise typer.BadParameter(f"{file} cannot be read: {reason}", param_hint="-f") from error


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The machine-readable form; what could not be made out is null."""
    spec = verdict.job.spec if verdict.job else None
    return {
        "name": verdict.job.name if verdict.job else None,
        "valid": verdict.valid,
        "script": verdict.script.path if verdict.script else None,
        "worldSize": spec.world_size if spec else None,
        "nodes": spec.nodes if spec else None,
        "ranksPerNode": spec.ranks_per_node if spec else None,
        "problems": [{"field": problem.field, "message": problem.message} for problem in verdict.problems],
        "warnings": [
            {"reason": warning.reason, "field": warning.field, "message": warning.message}
            for warning in verdict.warnings
        ],
        "objects": [],
    }


def print_text(verdict: Verdict) -> None:
    """The form for people: the outcome, what would run, and everything that is wrong or worth knowing."""
    name = (verdict.job.name if verdict.job else "") or "(no name)"
    count = len(verdict.problems)
    outcome = ("valid", "green") if verdict.valid else (f"invalid, {count} problem{'s' * (count > 1)}", "red")
    line((name, "bold"), ": ", outcome)
    if verdict.valid and verdict.job:
        for label, value in _facts(verdict, verdict.job):
            line(f"  {label:<14}{value}")
    for problem in verdict.problems:
        line(("  error    ", "red"), str(problem))
    for warning in verdict.warnings:
        line(("  warning  ", "yellow"), f"{warning} ({warning.reason})")


def _facts(verdict: Verdict, job: PetTrainingJob) -> Iterator[tuple[str, str]]:
    spec = job.spec
    if verdict.script:
        yield "script", verdict.script.path
    yield "config", f"{spec.cfg}{', embedded' if spec.config is not None else ''}"
    kind = "GPU" if spec.gpus_per_node else "CPU"
    yield "ranks", f"{spec.world_size} = {_count(spec.nodes, 'node')} × {_count(spec.ranks_per_node, f'{kind} rank')}"
    if verdict.cfg is not None:
        yield "batch", f"{verdict.cfg.TRAIN.BATCH_SIZE} = {verdict.cfg.TRAIN.BATCH_SIZE // spec.world_size} per rank"
        yield "length", _length(verdict.cfg)
    yield "checkpoints", _checkpoints(job.name, spec)


def _length(cfg: Config) -> str:
    scheduler = cfg.SOLVER.SCHEDULER
    epochs = scheduler.TOTAL_EPOCHS or 0
    return _count(epochs, "epoch") if epochs > 0 else _count(scheduler.TOTAL_ITERS, "step")


def _checkpoints(name: str, spec: JobSpec) -> str:
    volume = spec.checkpoint.volume
    if volume is None:
        return "no volume"
    claim = f"claim {volume.claim_name}" if volume.claim_name else f"new claim {name}-checkpoints of {volume.size}"
    return f"{claim}, folder {spec.checkpoint.path}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
