from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from pet.engine.events import EventStorage
from pet.engine.hooks.garbage import COLLECT_ALL_EVERY, COLLECT_EVERY, GarbageCollection, collecting


@pytest.fixture
def collector() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("collector")
def test_garbage_is_collected_at_set_steps_and_the_collector_is_handed_back() -> None:
    hook, storage = GarbageCollection(), EventStorage(1)
    hook.after_step(storage)
    assert not gc.isenabled()
    assert gc.get_freeze_count() > 0
    collected = gc.get_stats()[1]["collections"]
    for storage.iter in range(2, 2 * COLLECT_EVERY + 1):
        hook.after_step(storage)
    assert gc.get_stats()[1]["collections"] == collected + 2
    hook.after_train(storage)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


class Ring:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.ring = self


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_at_work_for_a_while(on: bool) -> None:
    (gc.enable if on else gc.disable)()
    with collecting():
        assert gc.isenabled()
    assert gc.isenabled() == on


@pytest.mark.usefixtures("collector")
def test_garbage_that_has_outlived_a_collection_is_collected_as_well() -> None:
    hook, storage = GarbageCollection(), EventStorage(1)
    hook.after_step(storage)
    held = Ring()
    seen = weakref.ref(held)
    for storage.iter in range(2, COLLECT_EVERY + 1):
        hook.after_step(storage)
    del held
    for storage.iter in range(COLLECT_EVERY + 1, COLLECT_ALL_EVERY + 1):
        hook.after_step(storage)
    assert seen() is None
