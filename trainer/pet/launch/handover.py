"""A training script that is started by itself hands its command line to the launcher."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

_RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


def ensure_ranks(script: str, argv: Sequence[str]) -> None:
    """Return in a process that is a rank (of our launcher, or of torchrun); otherwise become the launcher.

    `script` is the script's place, such as `tools/tasks/cls/train_net.py`; the launcher lies in the same tools folder.
    To be called before heavy imports.
    """
    if all(name in os.environ for name in _RANK_VARIABLES):
        return
    launcher = launcher_of(Path(sys.argv[0]).resolve(), script)
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: it was closed at the start
        stream.flush()
    os.execv(sys.executable, [sys.executable, "-u", str(launcher), f"--script={script}", *argv])


def launcher_of(file: Path, script: str) -> Path:
    """The launcher beside a script's file. Raises FileNotFoundError if the file does not lie in a tools folder."""
    launcher = file.parents[script.count("/") - 1] / "train_net_all.py"
    if not launcher.is_file():
        raise FileNotFoundError(f"{file} has no launcher: {launcher} does not exist")
    return launcher
