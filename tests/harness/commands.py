"""Runs the project's programs: as a user's shell does, each in a process of its own, or `pet` quickly in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from harness.launcher import ROOT
from pet_operator.cli.app import app

PET, OPERATOR = ("-m", "pet_operator.cli.app"), ("-m", "pet_operator.main")
TIMEOUT = 120.0  # seconds; a bound against hanging, not an expectation


@dataclass(frozen=True)
class Answer:
    """How a program ended and what it said."""

    code: int
    out: str
    err: str


def pet(*arguments: str, stdin: str = "") -> Answer:
    """Run `pet` in this process, in its working directory."""
    done = CliRunner().invoke(app, arguments, input=stdin, prog_name="pet", catch_exceptions=False)
    return Answer(done.exit_code, done.stdout, done.stderr)


def python(*arguments: str, folder: Path = ROOT, stdin: str = "", **environ: str) -> Answer:
    """Run Python in a folder, with the packages of this checkout and `environ` on top of a plain environment."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    packages = os.pathsep.join(str(ROOT / part) for part in ("operator", "trainer"))
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**inherited, "PYTHONPATH": packages, "OMP_NUM_THREADS": "1", **environ},
        input=stdin.encode(),
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())
