"""Under what a figure was taken: without it a figure means nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def conditions() -> str:
    """The machine, its load and what is installed, in one line."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.system()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
