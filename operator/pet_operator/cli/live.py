"""The live line of a training: on a terminal what goes on, a bar and numbers; elsewhere nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn


class LiveLine:
    """Use it in a `with` statement; what is printed to the same console meanwhile appears above it."""

    def __init__(self, console: Console) -> None:
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=console,
            transient=True,
            disable=not is_watched(console),
        )
        self._task: TaskID = self._live.add_task("starting", total=None, numbers="")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def show(self, what: str, *, done: int | None, total: int | None, numbers: Numbers) -> None:
        """Show the state of a training after `done` of `total` iterations."""
        self._live.update(self._task, description=what, total=total, completed=done or 0, numbers=str(numbers))


def is_watched(console: Console) -> bool:
    """Whether it is a terminal. FORCE_COLOR makes rich take a file for one, where each frame would be a line."""
    return console.is_terminal and console.file.isatty()


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What is known of a training. As text: `loss 0.412  lr 0.0871  1,204 img/s  eta 1:02  saved 300`. `age` is how old
    it is where it is not fed any more, empty while it is: then what changes with each step is marked, as in a table."""

    loss: float | None
    learning_rate: float | None
    samples_per_second: float | None
    eta_seconds: float | None
    saved: int | None  # iteration of the newest checkpoint
    age: str = ""

    def __str__(self) -> str:
        parts, mark = [], "~" if self.age else ""
        if self.loss is not None:
            parts.append(f"loss {mark}{self.loss:.3f}")
        if self.learning_rate is not None:
            parts.append(f"lr {self.learning_rate:.4f}")
        if self.samples_per_second:
            parts.append(f"{self.samples_per_second:,.0f} img/s")
        if self.eta_seconds:
            parts.append(f"eta {mark}{short_duration(self.eta_seconds)}")
        if self.saved is not None:
            parts.append(f"saved {self.saved}")
        if self.age:
            parts.append(f"last news {self.age} ago")
        return "  ".join(parts)


def short_duration(seconds: float) -> str:
    """`1:02`, `2:03:04`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
