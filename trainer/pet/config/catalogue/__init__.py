"""What the stock image holds: its training scripts and the configurations under `cfgs/`, as package data.

So the operator knows both without the trainer. `python -m pet.config.catalogue` writes it anew.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypedDict

FILE = "stock.json"


class Stock(TypedDict):
    """`scripts`: paths below the root, sorted. `cfgs`: the text of every configuration, by its path."""

    scripts: list[str]
    cfgs: dict[str, str]


@cache
def stock() -> Stock:
    """The generated catalogue of this release."""
    content: Stock = json.loads(files(__name__).joinpath(FILE).read_text(encoding="utf-8"))
    return content


def known_scripts() -> tuple[str, ...]:
    """The training scripts of the stock image, for example `tools/tasks/cls/train_net.py`."""
    return tuple(stock()["scripts"])


def scan(root: Path) -> Stock:
    """The catalogue of a checkout."""
    tools = root / "trainer"
    scripts = sorted(path.relative_to(tools).as_posix() for path in tools.glob("tools/**/train_net.py"))
    cfgs = sorted(root.glob("cfgs/**/*.yaml"))
    return {"scripts": scripts, "cfgs": {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in cfgs}}


def write(root: Path, target: Path) -> None:
    """Write the catalogue of a checkout into a file."""
    target.write_text(json.dumps(scan(root), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
