"""`pet plan`: the checks that the operator makes of a job, and what would be made of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pet import __version__
from pet.config import Config
from pet.config.check import JobReview, check_text
from pet.config.job import JobSpec, PetTrainingJob
from pet_operator.cli.objects import Manifest, described, objects_of
from pet_operator.cli.output import Exit, Format, count, fact, line, print_json

Files = Annotated[list[str], typer.Option("-f", "--filename", metavar="FILE", help="A job file; - reads stdin.")]
Output = Annotated[Format, typer.Option("-o", "--output", help="json: one object per job, each on its own line.")]
Image = Annotated[str, typer.Option("--trainer-image", metavar="IMAGE", help="That of jobs that name none.")]


def plan(files: Files, output: Output = Format.TEXT, trainer_image: Image = f"pet-trainer:{__version__}") -> None:
    """Check jobs as the operator does, and show what it would make of them. Nothing is made, no cluster is needed."""
    reviews = [
        review for file in files for review in check_text(read(file), "stdin" if file == "-" else file)
    ]  # fmt: skip
    for review in reviews:
        objects = objects_of(review, trainer_image)
        if output is Format.JSON:
            print_json(as_json(review, objects))
        else:
            print_text(review, objects)
    if not all(review.valid for review in reviews):
        raise typer.Exit(Exit.INVALID)


def read(file: str) -> str:
    """The text of a file, or of stdin for `-`, in UTF-8. What cannot be read is a usage error."""
    if file == "-" and sys.stdin is None:
        raise typer.BadParameter("there is no stdin: give a file", param_hint="-f")
    try:
        return (sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise typer.BadParameter(f"{file} cannot be read: {reason}", param_hint="-f") from error


def as_json(review: JobReview, objects: list[Manifest]) -> dict[str, Any]:
    """The machine-readable form; what could not be made out is null."""
    return {
        "name": review.job.name if review.job else None,
        "valid": review.valid,
        "script": review.script.path if review.script else None,
        "worldSize": review.made_out("spec.world_size"),
        "nodes": review.made_out("spec.nodes"),
        "ranksPerNode": review.made_out("spec.ranks_per_node"),
        "problems": [{"field": problem.field, "message": problem.message} for problem in review.problems],
        "warnings": [
            {"reason": warning.reason, "field": warning.field, "message": warning.message}
            for warning in review.warnings
        ],
        "objects": objects,
    }


def print_text(review: JobReview, objects: list[Manifest]) -> None:
    """The form for people: the outcome, what would run and be made, and all that is wrong or worth knowing."""
    name = (review.job.name if review.job else "") or "(no name)"
    found = count(len(review.problems), "problem")
    outcome = ("valid", "green") if review.valid else (f"invalid, {found}", "red")
    line((name, "bold"), ": ", outcome)
    if review.valid and review.job:
        for label, value in _facts(review, review.job):
            fact(label, value)
        fact("objects", *described(objects, review.job))
    for problem in review.problems:
        line(("  error    ", "red"), str(problem))
    for warning in review.warnings:
        line(("  warning  ", "yellow"), f"{warning} ({warning.reason})")


def _facts(review: JobReview, job: PetTrainingJob) -> Iterator[tuple[str, str]]:
    spec = job.spec
    if review.script:
        yield "script", review.script.path
    yield "config", f"{spec.cfg}{', embedded' if spec.config is not None else ''}"
    kind = "GPU" if spec.gpus_per_node else "CPU"
    yield "ranks", f"{spec.world_size} = {count(spec.nodes, 'node')} × {count(spec.ranks_per_node, f'{kind} rank')}"
    if review.cfg is not None:
        yield "batch", f"{review.cfg.TRAIN.BATCH_SIZE} = {review.cfg.TRAIN.BATCH_SIZE // spec.world_size} per rank"
        yield "length", _length(review.cfg)
    yield "checkpoints", _checkpoints(job.name, spec)


def _length(cfg: Config) -> str:
    scheduler = cfg.SOLVER.SCHEDULER
    epochs = scheduler.TOTAL_EPOCHS or 0
    return count(epochs, "epoch") if epochs > 0 else count(scheduler.TOTAL_ITERS, "step")


def _checkpoints(name: str, spec: JobSpec) -> str:
    volume = spec.checkpoint.volume
    if volume is None:
        return "no volume"
    claim = f"claim {volume.claim_name}" if volume.claim_name else f"new claim {name}-checkpoints of {volume.size}"
    return f"{claim}, folder {spec.checkpoint.path}"
