from __future__ import annotations

import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pet.engine.events import RING, EventStorage, History, get_event_storage

numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(values=st.lists(numbers, min_size=1, max_size=2 * RING), window=st.integers(1, RING))
def test_a_history_gives_exact_figures_of_its_newest_values(values: list[float], window: int) -> None:
    history = History()
    for value in values:
        history.put(value)
    newest = values[-window:]
    assert history.latest == values[-1]
    assert history.median(window) == statistics.median(newest)
    assert history.avg(window) == pytest.approx(statistics.fmean(newest), rel=1e-9, abs=1e-9)
    assert history.global_avg == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-6)


def test_a_history_keeps_a_bounded_number_of_values_and_the_mean_of_all() -> None:
    history = History()
    for value in range(10_000):
        history.put(float(value))
    assert history.global_avg == pytest.approx(4999.5)
    assert history.avg(10_000) == pytest.approx(statistics.fmean(range(10_000 - RING, 10_000)))


def test_what_a_checkpoint_keeps_of_the_numbers_does_not_grow_with_the_run() -> None:
    # MMEngine copies its whole history into each checkpoint.
    def size(steps: int) -> int:
        storage = EventStorage()
        for _ in range(steps):
            storage.put_scalar("loss", 0.5)
        return len(json.dumps(storage.state_dict()))

    assert size(300_000) - size(100) < 10  # digits of the sum and the count


def test_a_storage_that_was_restored_shows_the_same_numbers_but_the_clocks() -> None:
    storage, restored = EventStorage(), EventStorage()
    for step in range(50):
        storage.put_scalars(loss=step / 3, time=1.0, data_time=0.5)
        storage.put_scalar("lr", step / 7, smoothing_hint=False)
    restored.load_state_dict(json.loads(json.dumps(storage.state_dict())))
    assert restored.smoothing_hints() == {"loss": True, "lr": False}
    assert restored.latest_with_smoothing_hint(20) == {
        name: value for name, value in storage.latest_with_smoothing_hint(20).items() if name in ("loss", "lr")
    }
    assert restored.history("loss").global_avg == storage.history("loss").global_avg


@given(values=st.lists(numbers, min_size=1, max_size=2 * RING), cut=st.integers(0, 2 * RING))
def test_a_history_is_the_same_bit_by_bit_however_its_values_are_cut_into_windows(
    values: list[float], cut: int
) -> None:
    whole, parts, single = History(), History(), History()
    whole.extend(values)
    for part in (values[:cut], values[cut:]):
        parts.extend(part)
    for value in values:
        single.put(value)
    assert whole.state_dict() == parts.state_dict() == single.state_dict()


def test_a_step_closes_its_window_at_each_period_and_at_the_end_also_where_a_run_begins_there() -> None:
    storage, closing = EventStorage(start_iter=4, log_period=4, last_iter=10), []
    while storage.iter <= 10:
        if storage.closes_window:
            closing.append(storage.iter)
        storage.step()
    assert closing == [4, 8, 10]


def test_the_innermost_storage_is_the_one_that_hooks_find() -> None:
    with EventStorage() as outer:
        assert get_event_storage() is outer
        with EventStorage() as inner:
            assert get_event_storage() is inner
        assert get_event_storage() is outer
    with pytest.raises(LookupError, match="with EventStorage"):
        get_event_storage()


def test_a_storage_is_left_even_if_its_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), EventStorage():
        raise ZeroDivisionError
    with pytest.raises(LookupError):
        get_event_storage()


def test_smoothed_names_show_their_median_and_others_their_latest_value() -> None:
    storage = EventStorage()
    for value in (1.0, 5.0, 2.0, 100.0):
        storage.put_scalar("loss", value)
        storage.put_scalar("lr", value, smoothing_hint=False)
    assert storage.smoothing_hints() == {"loss": True, "lr": False}
    assert storage.latest() == {"loss": 100.0, "lr": 100.0}
    assert storage.latest_with_smoothing_hint(3) == {"loss": 5.0, "lr": 100.0}


def test_the_hint_of_a_name_never_changes() -> None:
    storage = EventStorage()
    storage.put_scalars(smoothing_hint=False, lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match="'lr' was put with smoothing_hint=False"):
        storage.put_scalar("lr", 0.1)


def test_a_hint_that_a_hook_gives_after_a_resume_counts() -> None:
    storage, restored = EventStorage(), EventStorage()
    storage.put_scalar("margin", 1.0, smoothing_hint=True)
    restored.load_state_dict(storage.state_dict())
    restored.put_scalar("margin", 2.0, smoothing_hint=False)
    assert restored.latest_with_smoothing_hint() == {"margin": 2.0}
    with pytest.raises(ValueError, match="'margin' was put with smoothing_hint=False"):
        restored.put_scalar("margin", 3.0, smoothing_hint=True)


def test_name_scopes_nest_and_end() -> None:
    storage = EventStorage()
    with storage.name_scope("eval"):
        storage.put_scalar("top1", 0.5)
        with storage.name_scope("small/"):
            storage.put_scalar("top1", 0.25)
    storage.put_scalar("top1", 0.75)
    assert storage.latest() == {"eval/top1": 0.5, "eval/small/top1": 0.25, "top1": 0.75}


def test_a_name_scope_ends_even_if_its_block_fails() -> None:
    storage = EventStorage()
    with pytest.raises(ZeroDivisionError), storage.name_scope("eval"):
        raise ZeroDivisionError
    storage.put_scalar("top1", 1.0)
    assert list(storage.histories()) == ["top1"]


def test_iter_is_the_number_of_the_running_step() -> None:
    storage = EventStorage(start_iter=7)
    assert storage.iter == 7
    storage.step()
    assert storage.iter == 8


def test_a_name_that_was_never_put_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        EventStorage().history("loss")
