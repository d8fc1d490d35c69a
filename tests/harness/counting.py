"""Counts what training steps ask of torch: operations, and reads of tensors by the host. Exact on any machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from pet.engine.loader import TrainLoader
from pet.engine.loop import TrainLoop

# Every way from a tensor to a number of Python. On a GPU each of them waits for the device.
READS = ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__", "__array__")


class StepCounter(TorchDispatchMode):
    """A context that counts; `mark` ends the count of one step and begins that of the next.

    Backward is counted too: on the CPU it runs in the thread that calls it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[int] = []  # by step
        self.reads: list[list[str]] = []  # by step, the names of the methods
        self._reading = False

    def mark(self) -> None:
        """A step begins."""
        self.operations.append(0)
        self.reads.append([])

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.operations:
            self.operations[-1] += 1
        if func._overloadpacket is torch.ops.aten._local_scalar_dense:
            self._note("_local_scalar_dense")
        return func(*args, **(kwargs or {}))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count inside this block. Reads that never reach the dispatcher are seen by the methods of the tensor."""
        own = {name: vars(torch.Tensor).get(name) for name in READS}
        try:
            for name in READS:
                setattr(torch.Tensor, name, self._noting(name, getattr(torch.Tensor, name)))
            with self:
                yield
        finally:
            for name, method in own.items():
                if method is None:
                    delattr(torch.Tensor, name)
                else:
                    setattr(torch.Tensor, name, method)

    def _noting(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._note(name)
            before, self._reading = self._reading, True  # one read is often made of others
            try:
                return method(*args, **kwargs)
            finally:
                self._reading = before

        return call

    def _note(self, name: str) -> None:
        if self.reads and not self._reading:
            self.reads[-1].append(name)


class CallCounter:
    """Counts the calls of Python functions by step: what a step costs the host beside torch's work."""

    def __init__(self) -> None:
        self.calls: list[int] = []  # by step

    def mark(self) -> None:
        """A step begins."""
        self.calls.append(0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count inside this block, in this thread."""
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _note(self, _frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and self.calls:
            self.calls[-1] += 1


class StepMarks:
    """The first hook of a step: tells a counter that a step begins."""

    priority = 0

    def __init__(self, begin: Callable[[], None]) -> None:
        self.begin = begin

    def before_step(self, storage: Any) -> None:
        self.begin()


class GivenLoader:
    """A training loader with other batches: how samples are loaded is not the loop's doing."""

    def __init__(self, loader: TrainLoader, batches: Iterable[Any]) -> None:
        self._loader = loader
        self._given = batches
        self.sizes = loader.sizes  # as an attribute, like the loader's: what `__getattr__` costs is not the loop's

    def __iter__(self) -> Iterator[Any]:
        return iter(self._given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def give(loop: TrainLoop, batches: Iterable[Any]) -> None:
    """Let the loop train on these batches."""
    loop.loader = GivenLoader(loop.loader, batches)  # type: ignore[assignment]


def fetch_in_advance(loop: TrainLoop) -> list[Any]:
    """Let the loop find all its batches loaded; returns them."""
    batches = list(loop.loader)
    give(loop, batches)
    return batches


def bare_loop(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: list[Any], begin: Callable[[], None]
) -> None:
    """The least that trains: what a loop is compared with. `begin` is called before each step."""
    for inputs, targets, _ in batches:
        begin()
        optimizer.zero_grad()
        first, *others = model(inputs, targets)["losses"].values()
        for loss in others:
            first = first + loss
        first.backward()
        optimizer.step()
