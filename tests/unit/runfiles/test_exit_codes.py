"""Exit codes and their classes: public API."""

from __future__ import annotations

import pytest

from pet.runfiles.exits import ExitCode, classify

# as subprocess reports it → the launcher's code, its class, whether ranks are started again
TABLE = [
    (0, 0, "Succeeded", False),
    (1, 1, "AppError", True),
    (2, 1, "AppError", True),
    (75, 75, "PeerLost", True),
    (76, 76, "Hang", True),
    (77, 77, "NumericGuard", True),
    (78, 78, "ConfigError", False),
    (79, 79, "StorageFull", False),
    (80, 80, "CheckpointUnusable", False),
    (93, 93, "NoRestart", False),
    (134, 139, "Crash", True),
    (137, 139, "Crash", True),
    (139, 139, "Crash", True),
    (143, 143, "Preempted", False),
    (-6, 139, "Crash", True),
    (-9, 139, "Crash", True),
    (-11, 139, "Crash", True),
    (-15, 139, "Crash", True),
    (255, 1, "AppError", True),
]


@pytest.mark.parametrize(("code", "ours", "exit_class", "restarts"), TABLE)
def test_class_of_an_exit(code: int, ours: int, exit_class: str, restarts: bool) -> None:
    found = classify(code)
    assert (int(found), found.exit_class, found.restarts_in_place) == (ours, exit_class, restarts)


def test_every_code_of_ours_is_in_the_table() -> None:
    assert {ours for _, ours, _, _ in TABLE} | {ExitCode.OOM} == set(ExitCode)


def test_that_memory_ran_out_no_code_tells() -> None:
    assert (ExitCode.OOM.exit_class, ExitCode.OOM.restarts_in_place) == ("OOM", True)
    assert classify(ExitCode.OOM) is ExitCode.CRASH
