"""`pet run`: check a job, start its launchers here, and say how it ended."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import typer

from pet.config import ConfigError, Problem
from pet.config.check import check_job, check_text, stock_cfg
from pet.config.job import PetTrainingJob
from pet.config.node import read_file
from pet_operator.cli.live import short_duration
from pet_operator.cli.local.attempt import LocalAttempt
from pet_operator.cli.local.folder import RunFolder, fresh
from pet_operator.cli.local.record import RunRecord
from pet_operator.cli.output import Exit, Format, line, print_json
from pet_operator.cli.plan import read

File = Annotated[str, typer.Option("-f", "--filename", metavar="FILE", help="The job file; - reads stdin.")]
Local = Annotated[bool, typer.Option("--local", help="On this machine; the only place in this release.")]
Output = Annotated[Path | None, typer.Option("--output", metavar="DIR", help="Its folder. Default: runs/<job>.")]
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="The root of all data sets.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a configuration key.")]
New = Annotated[bool, typer.Option("--fresh", help="Begin anew, in a new folder.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Keep the rows of numbers on a terminal, too.")]
Form = Annotated[Format, typer.Option("-o", help="json: the result as one object on the last line.")]


def run(
    file: File,
    local: Local = False,
    output: Output = None,
    data: Data = Path("data"),
    set_: Set = None,
    new: New = False,
    verbose: Verbose = False,
    form: Form = Format.TEXT,
) -> None:
    """Train a job. Ctrl-C saves and stops; the same command goes on from there. A finished job's result is printed."""
    if not local:
        raise typer.BadParameter("say --local: running in a cluster is not part of this release", param_hint="run")
    job = read_one(file, set_ or [])
    if job.spec.suspend:
        _warn("spec.suspend: true is for a cluster; --local runs the job all the same")
    path = output or Path("runs") / job.name
    folder = RunFolder(fresh(path) if new else path)
    with folder.locked():
        record = folder.open(job.name, job.spec.hash)
        began, again = time.monotonic(), record.phase == "Succeeded"
        if again and (damage := folder.damage(record)):
            _warn(f"the checkpoint {damage}; the end of the training is done again")
            again = False
        code = Exit.GOOD if again else LocalAttempt(job, folder, record, verbose=verbose).run(data)
    if form is Format.JSON:
        print_json(record.result)
    else:
        _print(folder, record, None if again else time.monotonic() - began)
    raise typer.Exit(code)


def read_one(file: str, settings: list[str]) -> PetTrainingJob:
    """The one job of the file, with `--set` on top of its overrides. Raises ConfigError with all problems."""
    source = "stdin" if file == "-" else file
    problems = [Problem("--set", f"{text!r} is not KEY=VALUE") for text in settings if text.find("=") < 1]
    reviews = check_text(read(file), source, read_cfg=_read_cfg, foreign_image=False)
    if len(reviews) != 1:
        problems.append(Problem(source, f"holds {len(reviews)} jobs; run them one at a time"))
    review = reviews[0]
    if review.valid and review.job is not None and settings and not problems:
        pairs = tuple((key, value) for key, _, value in (text.partition("=") for text in settings))
        spec = dataclasses.replace(review.job.spec, overrides=(*review.job.spec.overrides, *pairs))
        job = dataclasses.replace(review.job, spec=spec)
        review = check_job(job, read_cfg=_read_cfg, foreign_image=False)
    problems += review.problems
    if problems or review.job is None:
        raise ConfigError(problems)
    for warning in review.warnings:
        _warn(str(warning))
    return review.job


def _read_cfg(path: str) -> str | None:
    """A configuration that the job does not embed: the one here, else the stock one."""
    return read_file(path) if Path(path).is_file() else stock_cfg(path)


def _warn(text: str) -> None:
    line(("warning  ", "yellow"), text, stderr=True)


def _print(folder: RunFolder, record: RunRecord, seconds: float | None) -> None:
    result = record.result
    when = "earlier; --fresh runs it again in a new folder" if seconds is None else f"after {short_duration(seconds)}"
    at = f" at iteration {result['iteration']}" if result["iteration"] is not None else ""
    colour = {"Succeeded": "green", "Suspended": "yellow"}.get(record.phase, "red")
    line((record.name, "bold"), ": ", (record.phase, colour), f"{at}, {when}")
    if failure := result["failure"]:
        rank = f"rank {failure['rank']}, " if failure.get("rank") is not None else ""
        # A refusal is an error of its class's own name: it is not said twice.
        kinds = dict.fromkeys((failure["class"], failure["type"]))
        line(f"  cause        {rank}{': '.join(map(str, kinds))}: {failure['message']}")
    if result["metrics"]:
        line("  result       " + "  ".join(f"{name} {_number(value)}" for name, value in result["metrics"].items()))
    if result["checkpoint"]:
        line(f"  checkpoint   {folder.checkpoints / result['checkpoint']['file']}")
    for label, file in (("numbers", folder.numbers), ("output", folder.logs)):
        if file.exists():
            line(f"  {label:<11}  {file}")
    if record.phase == "Suspended":
        line("  the same command goes on from there")


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"
