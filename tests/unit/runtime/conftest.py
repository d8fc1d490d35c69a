"""Tests here may be coroutines; they run in a loop whose clock jumps, so that waiting takes no time."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from harness.timeless import run
from hypothesis import is_hypothesis_test

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            examples = is_hypothesis_test(getattr(item, "obj", None))
            item.add_marker(pytest.mark.timeout(300 if examples else 60))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = inspect.signature(pyfuncitem.obj).parameters
    run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in arguments}))
    return True
