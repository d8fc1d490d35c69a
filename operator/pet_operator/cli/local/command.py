"""`pet run`: check a job, start its launchers here, and say how it ended."""

from __future__ import annotations

import dataclasses
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from pet.config import ConfigError, Problem
from pet.config.check import check_job, check_text, stock_cfg
from pet.config.job import JobSpec, PetTrainingJob
from pet.config.node import read_file
from pet_operator.cli.data import Root
from pet_operator.cli.local.attempt import LocalAttempt
from pet_operator.cli.local.folder import RunFolder, fresh
from pet_operator.cli.local.report import print_result, resume_command
from pet_operator.cli.output import Exit, Format, line, print_json
from pet_operator.cli.plan import read

File = Annotated[list[str], typer.Option("-f", "--filename", metavar="FILE", help="The job file; - reads stdin.")]
Local = Annotated[bool, typer.Option("--local", help="On this machine; the only place in this release.")]
Output = Annotated[str | None, typer.Option("--output", metavar="DIR", help="Its folder. Default: runs/<job>.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a configuration key.")]
New = Annotated[bool, typer.Option("--fresh", help="Begin anew, in a new folder; go on in it with --output.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Keep the rows of numbers on a terminal, too.")]
Form = Annotated[Format, typer.Option("-o", help="json: the result as one object on the last line.")]


def run(
    context: typer.Context,
    files: File,
    local: Local = False,
    output: Output = None,
    data: Root = Path("data"),
    set_: Set = None,
    new: New = False,
    verbose: Verbose = False,
    form: Form = Format.TEXT,
) -> None:
    """Train a job. Ctrl-C saves and stops; the same command goes on from there. A finished job's result is printed."""
    if not local:
        raise typer.BadParameter("say --local: running in a cluster is not part of this release", param_hint="run")
    if output is not None and not output.strip():
        raise ConfigError.of("--output", "is empty: name a folder, or leave it out for runs/<job>")
    if len(files) > 1:
        raise typer.BadParameter("give one file: jobs are run one at a time", param_hint="-f")
    [file], settings = files, set_ or []
    job = read_one(file, settings)
    if job.spec.suspend:
        _warn("spec.suspend: true is for a cluster; --local runs the job all the same")
    path = Path(output or f"runs/{job.name}")
    folder = RunFolder(fresh(path) if new else path)
    with folder.locked():
        record = folder.open(job.name, fingerprint(job.spec))
        began, again = time.monotonic(), record.phase == "Succeeded"
        if lost := folder.lost(record):
            _warn(f"the checkpoint {lost} is gone, and there is no other in {folder.checkpoints}: training begins anew")
            again = False
        elif again and (damage := folder.damage(record)):
            _warn(f"the checkpoint {damage}; the end of the training is done again")
            again = False
        code = Exit.GOOD if again else LocalAttempt(job, folder, record, verbose=verbose).run(data)
    program = context.find_root().info_name or "pet"
    resume = resume_command(program, file, folder.path, data, settings) if new else ""
    seconds = None if again else time.monotonic() - began
    with suppress(BrokenPipeError):  # the training has ended as it has, whether or not anybody reads it here
        if form is Format.JSON:
            print_json(record.result)
        else:
            print_result(folder, record, seconds, resume)
    raise typer.Exit(code)


def read_one(file: str, settings: list[str]) -> PetTrainingJob:
    """The one job of the file, with `--set` on top of its overrides. Raises ConfigError with all problems."""
    source = "stdin" if file == "-" else file
    pairs = [(key, value) for key, equals, value in (text.partition("=") for text in settings) if key and equals]
    problems = [Problem("--set", f"{text!r} is not KEY=VALUE") for text in settings if text.find("=") < 1]
    if any(key == "MISC.CKPT" for key, _ in pairs):
        problems.append(Problem("--set", "MISC.CKPT has no effect: say where checkpoints go with --output"))
    reviews = check_text(read(file), source, read_cfg=_read_cfg, foreign_image=False, local=True)
    if len(reviews) != 1:
        problems.append(Problem(source, f"holds {len(reviews)} jobs; run them one at a time"))
    review = reviews[0]
    if len(reviews) == 1 and review.valid and review.job is not None and pairs:
        spec = dataclasses.replace(review.job.spec, overrides=(*review.job.spec.overrides, *pairs))
        job = dataclasses.replace(review.job, spec=spec)
        review = check_job(job, read_cfg=_read_cfg, foreign_image=False, local=True)
    problems += review.problems
    if problems or review.job is None:
        raise ConfigError(problems)
    for warning in review.warnings:
        _warn(str(warning))
    return review.job


def fingerprint(spec: JobSpec) -> str:
    """What must stay as it is for a finished job's result to be its result: a configuration in a file counts, too."""
    return (spec if spec.config is not None else dataclasses.replace(spec, config=_read_cfg(spec.cfg))).hash


def _read_cfg(path: str) -> str | None:
    """A configuration that the job does not embed: the one here, else the stock one."""
    return read_file(path) if os.path.isfile(path) else stock_cfg(path)


def _warn(text: str) -> None:
    line(("warning  ", "yellow"), text, stderr=True)
