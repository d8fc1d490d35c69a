"""Why a rank stops: the exceptions that have an exit class of their own, and those whose message says all."""

from __future__ import annotations

from collections.abc import Sequence

from pet.config.errors import ConfigError
from pet.data.errors import SampleError
from pet.engine.workers import WorkerLost
from pet.runfiles.exits import ExitCode
from pet.store.errors import NO_ROOM, CheckpointUnusable, Fenced, StorageFull

__all__ = [
    "EXIT_CODES",
    "CheckpointUnusable",
    "Fenced",
    "GradientOverflow",
    "NonFinite",
    "NonFiniteLoss",
    "NonFiniteWeights",
    "PeerLost",
    "StopRequested",
    "StorageFull",
    "exit_code",
    "says_all",
]


class PeerLost(Exception):
    """A collective failed because another rank went away. Never a root cause."""


class StopRequested(Exception):
    """All ranks agreed to stop at a step boundary, and the state of that step is saved."""


class EvaluationStopped(StopRequested):
    """An evaluation was left on all ranks, for one of them was asked to stop; its numbers are not known, and nothing is
    saved yet."""


class NonFinite(ArithmeticError):
    """Losses or weights became NaN or infinite; `iteration` is the first step at which they were."""

    iteration: int


class NonFiniteWeights(NonFinite):
    """Weights, or what an optimizer or a hook keeps beside them, are NaN or infinite: such a state is never saved."""

    def __init__(self, iteration: int, names: Sequence[str], number: int) -> None:
        """`names` of the tensors, of so many in all."""
        super().__init__(iteration, names, number)
        self.iteration = iteration

    def __str__(self) -> str:
        iteration, names, number = self.args
        return (
            f"{len(names)} of {number} tensors are not finite after iteration {iteration}, among them "
            f"{', '.join(names[:3])}: nothing is saved. Lower SOLVER.OPTIMIZER.BASE_LR or switch on "
            "SOLVER.OPTIMIZER.CLIP_GRADIENTS"
        )


class NonFiniteLoss(NonFinite):
    """A loss became NaN or infinite; `iteration` and `term` say where it began."""

    def __init__(self, iteration: int, term: str, value: float) -> None:
        super().__init__(
            f"loss {term!r} is {value} at iteration {iteration}: lower SOLVER.OPTIMIZER.BASE_LR, lengthen "
            "the warm-up or switch on SOLVER.OPTIMIZER.CLIP_GRADIENTS"
        )
        self.iteration = iteration
        self.term = term


class GradientOverflow(NonFinite):
    """float16 gradients overflowed in so many steps in a row that a lower scale of the loss does not help."""

    def __init__(self, iteration: int, steps: int) -> None:
        """`iteration` is the first of these steps: no weight has changed since."""
        super().__init__(
            f"gradients overflowed in {steps} steps in a row, from iteration {iteration} on, although the loss was "
            "scaled down each time: set SOLVER.AMP.DTYPE bfloat16, or lower SOLVER.OPTIMIZER.BASE_LR"
        )
        self.iteration = iteration


EXIT_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (ConfigError, ExitCode.CONFIG_ERROR),
    (PeerLost, ExitCode.PEER_LOST),
    (CheckpointUnusable, ExitCode.CHECKPOINT_UNUSABLE),
    (Fenced, ExitCode.NO_RESTART),
    (StorageFull, ExitCode.STORAGE_FULL),
    (NonFinite, ExitCode.NUMERIC_GUARD),
    (StopRequested, ExitCode.PREEMPTED),
)


def exit_code(error: BaseException) -> ExitCode:
    """The exit code that an error ends the rank with; anything without a class of its own is an application error. A
    program that knows that no further try can help says so by `sys.exit(93)`."""
    if isinstance(error, SystemExit) and error.code == ExitCode.NO_RESTART:
        return ExitCode.NO_RESTART
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), ExitCode.APP_ERROR)


_SAY_ALL = (ConfigError, PeerLost, CheckpointUnusable, Fenced, StorageFull, NonFinite, SampleError, WorkerLost)


def says_all(error: BaseException) -> bool:
    """Whether its message is all that a person needs; the traceback is in the failure report all the same."""
    return isinstance(error, _SAY_ALL) or (isinstance(error, OSError) and error.errno in NO_ROOM)
