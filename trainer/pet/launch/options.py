"""The launcher's command line: its own options count anywhere before `--`, all else goes to the training script."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from pet.config import ConfigError

DEFAULT_CFG = "cfgs/vision/mscoco/e2e_faster_rcnn_R-50-FPN_1x.yaml"

_CONFIG_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z][A-Z0-9_]*)+")


@dataclass(frozen=True)
class Options:
    """The parsed command line.

    `rest` is what the training script gets, in the order given; `overrides` are the KEY VALUE pairs in it that the
    launcher checks. What stands behind `--` is the script's own business.
    """

    cfg_file: str
    gpu_id: str | None
    nproc: int | None
    type: str | None
    script: str | None
    rest: tuple[str, ...]
    overrides: tuple[str, ...]


class UsageParser(argparse.ArgumentParser):
    """argparse ends with 2, which would be restarted: a usage error is a configuration error here."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError.of("command line", f"{message} ({self.format_usage().strip()})")


def parse_options(argv: Sequence[str]) -> Options:
    """Read the arguments after the program's name. Raises ConfigError; `--help` prints and raises SystemExit(0)."""
    words = list(argv)
    end = words.index("--") if "--" in words else len(words)
    known, rest = _parser().parse_known_args(words[:end])
    if known.cfg_file is None:
        # The default is the launcher's: it is of no use to a script that was named, or that hands itself over.
        if known.script is not None:
            raise ConfigError.of("--cfg", f"is missing: {known.script} needs a configuration, --cfg FILE")
        if not Path(DEFAULT_CFG).is_file():
            raise ConfigError.of("--cfg", "is missing: say what to train, --cfg FILE")
        known.cfg_file = DEFAULT_CFG
    return Options(rest=(*rest, *words[end + 1 :]), overrides=_overrides(rest), **vars(known))


def _overrides(rest: Sequence[str]) -> tuple[str, ...]:
    """All of it, or what looks like pairs among a script's own options."""
    if not any(word.startswith("--") for word in rest):
        return tuple(rest)
    pairs = [pair for pair in pairwise(rest) if _CONFIG_KEY.fullmatch(pair[0])]
    return tuple(word for pair in pairs for word in pair)


def _parser() -> argparse.ArgumentParser:
    parser = UsageParser(
        prog="train_net_all.py",
        usage="%(prog)s [--cfg FILE] [--gpu_id IDS | --nproc N] [--type TYPE] [KEY VALUE ...] [-- ARGUMENTS]",
        description="Start a training on every device of this machine.",
        epilog="All other arguments go to the training script: KEY VALUE pairs override the configuration. "
        "Ctrl-C saves a checkpoint and stops; the same command goes on from there.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--cfg",
        dest="cfg_file",
        metavar="FILE",
        help=f"the configuration; its place under cfgs/ picks the script (default: {DEFAULT_CFG})",
    )
    parser.add_argument("--gpu_id", metavar="IDS", help="CUDA devices, for example 0,1 (default: all visible ones)")
    parser.add_argument("--nproc", type=int, metavar="N", help="number of ranks with MISC.DEVICE cpu (default: 1)")
    parser.add_argument("--type", help="vision, projects or tasks, where the place of the file does not say it")
    parser.add_argument("--script", metavar="PATH", help="the script itself, such as tools/tasks/cls/train_net.py")
    return parser
