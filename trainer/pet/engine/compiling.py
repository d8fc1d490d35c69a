"""torch.compile (MISC.COMPILE): making it work before the first step, or saying what it lacks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from pet.config import ConfigError

BACKEND = "inductor"


def compile_model(model: nn.Module) -> None:
    """Let calls of the model run compiled from the first one on. It stays the same module, with the same names."""
    model.compile(backend=BACKEND)


@contextmanager
def first_compilation() -> Iterator[None]:
    """Around the first call: raises ConfigError where torch cannot compile the model or lacks what it needs for it."""
    try:
        yield
    except RuntimeError as error:
        compiler = sys.modules.get("torch._dynamo.exc")  # seconds to import, and there if it has raised something
        if compiler is None or not isinstance(error, compiler.TorchDynamoException):
            raise
        reason = str(error).strip().splitlines()[0]
        raise ConfigError.of(
            "MISC.COMPILE", f"torch cannot compile the model: {reason}; install what it lacks, or set it to False"
        ) from error
