"""The live line of a training."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from pet_operator.cli.live import LiveLine, Numbers, short_duration

ALL = Numbers(loss=0.4118, learning_rate=0.0871, samples_per_second=1204.4, eta_seconds=62, saved=300)
OLD = replace(ALL, age="2m")
OLD_WORDS = "loss ~0.412  lr 0.0871  1,204 img/s  eta ~1:02  saved 300  last news 2m ago"
NONE = Numbers(loss=None, learning_rate=None, samples_per_second=None, eta_seconds=None, saved=None)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [(ALL, "loss 0.412  lr 0.0871  1,204 img/s  eta 1:02  saved 300"), (OLD, OLD_WORDS), (NONE, "")],
)
def test_numbers_that_are_known_are_shown(numbers: Numbers, text: str) -> None:
    assert str(numbers) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (62, "1:02"), (7384, "2:03:04")])
def test_durations(seconds: float, text: str) -> None:
    assert short_duration(seconds) == text


class Terminal(io.StringIO):
    """What is written to it can be read."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [Terminal, io.StringIO])
@pytest.mark.parametrize("colours", [True, False])
def test_there_is_a_line_on_a_terminal_alone_whoever_wants_colours_in_a_file(
    kind: type[io.StringIO], colours: bool
) -> None:
    file = kind()
    with LiveLine(Console(file=file, force_terminal=file.isatty() or colours, width=200)) as line:
        line.show("training", done=120, total=480, numbers=ALL)
    shown = file.getvalue()
    assert ("training" in shown and "120/480" in shown and str(ALL) in shown) == file.isatty()
    assert file.isatty() or shown.strip() == ""
