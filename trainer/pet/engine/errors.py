"""Why a rank stops: the exceptions that have an exit class of their own."""

from __future__ import annotations

from pet.config.errors import ConfigError
from pet.runfiles.exits import ExitCode
from pet.store.errors import CheckpointUnusable, Fenced

__all__ = ["EXIT_CODES", "CheckpointUnusable", "Fenced", "PeerLost", "StopRequested", "exit_code"]


class PeerLost(Exception):
    """A collective failed because another rank went away. Never a root cause."""


class StopRequested(Exception):
    """All ranks agreed to stop at a step boundary, and the state of that step is saved."""


EXIT_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (ConfigError, ExitCode.CONFIG_ERROR),
    (PeerLost, ExitCode.PEER_LOST),
    (CheckpointUnusable, ExitCode.CHECKPOINT_UNUSABLE),
    (Fenced, ExitCode.NO_RESTART),
    (StopRequested, ExitCode.PREEMPTED),
)


def exit_code(error: BaseException) -> ExitCode:
    """The exit code that an error ends the rank with; anything without a class of its own is an application error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), ExitCode.APP_ERROR)
