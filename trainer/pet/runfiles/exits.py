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
    OOM = 137
    CRASH = 139
    PREEMPTED = 143

    @property
    def exit_class(self) -> str:
        """The CamelCase name that reports carry, for example `AppError`."""
        return "OOM" if self is ExitCode.OOM else "".join(word.capitalize() for word in self.name.split("_"))

    @property
    def restarts_in_place(self) -> bool:
        """Whether the launcher starts its ranks again after this exit."""
        return self in _IN_PLACE


_IN_PLACE = (
    ExitCode.APP_ERROR, ExitCode.PEER_LOST, ExitCode.HANG, ExitCode.NUMERIC_GUARD, ExitCode.OOM, ExitCode.CRASH,
)  # fmt: skip


# What a shell makes of SIGABRT and SIGKILL.
_SIGNALLED = (134, 137)


def classify(code: int) -> ExitCode:
    """The class of a process's exit code as `subprocess` reports it (negative: killed by that signal).

    Codes that are not ours are the program's own errors; deaths by signal are crashes, also where a shell passes them
    on. That memory ran out no code can tell: it takes the kernel's word.
    """
    if code < 0 or code in _SIGNALLED:
        return ExitCode.CRASH
    try:
        return ExitCode(code)
    except ValueError:
        return ExitCode.APP_ERROR
