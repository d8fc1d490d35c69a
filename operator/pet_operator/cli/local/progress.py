"""What a person sees of a local run: on a terminal a live line under the messages, else the launchers' plain output."""

from __future__ import annotations

import http.client
import json
import re
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from pet.runfiles.port import read_port
from pet_operator.cli.live import LiveLine, Numbers, is_watched

# Pet's rows of numbers; the live line shows the same ones.
_METRIC_ROW = re.compile(r"^(\[\d\d-\d\d \d\d:\d\d:\d\d\]| {16}) \|-")
# A launcher is on this machine: a proxy of the environment's cannot reach it.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Display:
    """Prints the launchers' lines, and on a terminal keeps the live line below them."""

    def __init__(self, *, nodes: int, verbose: bool) -> None:
        """`verbose` keeps the rows of numbers on a terminal too."""
        self.console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
        self.nodes = nodes
        self.verbose = verbose
        self._live = LiveLine(self.console)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.__exit__(*exc)

    def line(self, node: int, text: str) -> None:
        """One line of a launcher's output."""
        if is_watched(self.console) and not self.verbose and _METRIC_ROW.match(text):
            return
        self.say(f"[node {node}] {text}" if self.nodes > 1 else text)

    def say(self, text: str) -> None:
        """A message of this program."""
        self.console.print(text, markup=False)

    def update(self, status: dict[str, Any] | None) -> None:
        """Show what the launcher of rank 0 says, if it says anything yet."""
        if status is None:
            return
        self._live.show(
            status["state"], done=status["iteration"], total=status["maxIterations"], numbers=_numbers(status)
        )


def _numbers(status: dict[str, Any]) -> Numbers:
    return Numbers(
        loss=(status.get("losses") or {}).get("total"),
        learning_rate=status.get("learningRate"),
        samples_per_second=status.get("samplesPerSecond"),
        eta_seconds=status.get("etaSeconds"),
        saved=(status.get("checkpoint") or {}).get("iteration"),
    )


def poll(run_dirs: Sequence[Path], uid: str) -> dict[str, Any] | None:
    """The status of this job's launcher that holds rank 0, or of the first that answers; None if none does.

    Each launcher leaves its port in its run folder. After its end another job's may answer there: `uid` tells.
    """
    ports = [port for run_dir in run_dirs if (port := read_port(run_dir)) is not None]
    replies = [reply for port in ports if (reply := _get(port, uid)) is not None]
    return next((reply for reply in replies if reply.get("iteration") is not None), replies[0] if replies else None)


def _get(port: int, uid: str) -> dict[str, Any] | None:
    try:
        with _DIRECT.open(f"http://127.0.0.1:{port}/status", timeout=1.0) as reply:
            status = json.load(reply)
    except (OSError, http.client.HTTPException, ValueError):
        return None  # not up yet, or on its way out, perhaps in the middle of a reply
    return status if isinstance(status, dict) and status.get("uid") == uid else None
