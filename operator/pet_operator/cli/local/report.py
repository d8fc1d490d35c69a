"""What `pet run` says at the end: the result for people, and the command that goes on from it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from pet.runfiles.exits import ExitCode
from pet_operator.cli.live import short_duration
from pet_operator.cli.local.folder import RunFolder
from pet_operator.cli.local.record import RunRecord
from pet_operator.cli.output import line

# After these ends the same command would end the same way.
_FINAL = (ExitCode.CONFIG_ERROR, ExitCode.CHECKPOINT_UNUSABLE, ExitCode.NO_RESTART)


def resume_command(program: str, file: str, output: Path, data: Path, settings: Sequence[str]) -> str:
    """The command line that goes on in the folder `output`. `program`: what it begins with."""
    words = ["run", "--local", "-f", file, "--output", str(output), "--data", str(data)]
    return f"{program} {shlex.join([*words, *(word for setting in settings for word in ('--set', setting))])}"


def print_result(folder: RunFolder, record: RunRecord, seconds: float | None, command: str = "") -> None:
    """The form for people.

    Args:
        seconds: how long the attempt took; None: the result is an earlier one.
        command: what goes on from it, where that is not the command that was given.
    """
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
    if record.phase != "Succeeded" and not (failure and failure["exitCode"] in _FINAL):
        saved = result["checkpoint"]
        what = f"goes on from iteration {saved['iteration']}" if saved else "begins anew (nothing is saved)"
        line(f"  it {what} with: {command}" if command else f"  the same command {what}")


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"
