"""Exit codes of ranks and launchers. They are public API: the operator and users' scripts act on them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a process ended. The member's `exit_class` is its name in reports."""

    SUCCEEDED = 0
    APP_ERROR = 1
    PEER_LOST = 75
    HANG = 76
    NUMERIC_GUARD = 77
    CONFIG_ERROR = 78
    STORAGE_FULL = 79
    CHECKPOINT_UNUSABLE = 80
    NO_RESTART = 93
    CRASH = 139
    PREEMPTED = 143

    @property
    def exit_class(self) -> str:
        """The CamelCase name that reports carry, for example `AppError`."""
        return "".join(word.capitalize() for word in self.name.split("_"))

    @property
    def restarts_in_place(self) -> bool:
        """Whether the launcher starts its ranks again after this exit."""
        return self in _IN_PLACE


_IN_PLACE = (ExitCode.APP_ERROR, ExitCode.PEER_LOST, ExitCode.HANG, ExitCode.NUMERIC_GUARD, ExitCode.CRASH)


def classify(code: int) -> ExitCode:
    """The class of a process's exit code as `subprocess` reports it (negative: killed by that signal).

    Codes that are not ours are the program's own errors; deaths by signal are crashes.
    """
    if code < 0 or code in (134, 137):
        return ExitCode.CRASH
    try:
        return ExitCode(code)
    except ValueError:
        return ExitCode.APP_ERROR
