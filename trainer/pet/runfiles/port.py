"""The port file: where a launcher answers, for the program that gave it its run folder and left the port to it."""

from __future__ import annotations

from pathlib import Path

from pet.runfiles.atomic import replace_text

_NAME = "port"


def write_port(run_folder: Path, port: int) -> None:
    """Tell that the launcher of this run folder listens. Raises OSError."""
    replace_text(run_folder / _NAME, f"{port}\n")


def read_port(run_folder: Path) -> int | None:
    """The port, None until the launcher listens."""
    try:
        return int((run_folder / _NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
