"""What is said at the end of a local run: where it stands, and which command goes on from there."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from pet.runfiles.exits import ExitCode
from pet_operator.cli.local.folder import RunFolder
from pet_operator.cli.local.record import RunRecord
from pet_operator.cli.local.report import print_result, resume_command

SAVED = {"iteration": 40, "file": "model_iter40.pth", "bytes": 1, "savedAt": "2024-01-01T00:00:00Z", "verified": True}


def failure(code: ExitCode) -> dict[str, Any]:
    return {"rank": None, "class": code.exit_class, "exitCode": int(code), "type": "Error", "message": "broken"}


def last_line(capsys: pytest.CaptureFixture[str], phase: str, command: str = "", **result: Any) -> str:
    """The last line of what is said of a run with this result."""
    result = {"iteration": 45, "metrics": {}, "checkpoint": SAVED, "failure": None, **result}
    print_result(RunFolder(Path("runs/job")), RunRecord("job", "1f0c", phase=phase, result=result), 3.0, command)
    return capsys.readouterr().out.splitlines()[-1].strip()


@pytest.mark.parametrize(
    ("phase", "result", "said"),
    [
        ("Suspended", {}, "the same command goes on from iteration 40"),
        ("Suspended", {"checkpoint": None}, "the same command begins anew (nothing is saved)"),
        ("Failed", {"failure": failure(ExitCode.CRASH)}, "the same command goes on from iteration 40"),
    ],
)
def test_the_end_says_where_the_same_command_goes_on(
    capsys: pytest.CaptureFixture[str], phase: str, result: dict[str, Any], said: str
) -> None:
    assert last_line(capsys, phase, **result) == said


@pytest.mark.parametrize(
    ("phase", "failed"),
    [("Succeeded", None), ("Failed", ExitCode.CONFIG_ERROR), ("Failed", ExitCode.CHECKPOINT_UNUSABLE)],
)
def test_nothing_is_promised_where_the_same_command_ends_in_the_same_way(
    capsys: pytest.CaptureFixture[str], phase: str, failed: ExitCode | None
) -> None:
    said = last_line(capsys, phase, failure=failed and failure(failed))
    assert said == "checkpoint   runs/job/checkpoints/model_iter40.pth"


def test_a_run_in_a_fresh_folder_is_gone_on_with_by_another_command(capsys: pytest.CaptureFixture[str]) -> None:
    command = resume_command("kubectl pet", "my job.yaml", Path("runs/job-2"), Path("data"), ["A.B=1 2", "C=3"])
    assert command.startswith("kubectl pet run --local -f 'my job.yaml' ")
    assert shlex.split(command)[6:] == [
        "--output", "runs/job-2", "--data", "data", "--set", "A.B=1 2", "--set", "C=3",
    ]  # fmt: skip
    assert last_line(capsys, "Suspended", command) == f"it goes on from iteration 40 with: {command}"
