from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pet.engine.sampler import EvaluationBatches, Key, TrainBatches, epoch_length


@st.composite
def runs(draw: st.DrawFn, *, drop_last: bool | None = None) -> TrainBatches:
    """A run of one rank over a few epochs."""
    share, size = draw(st.integers(1, 4)), draw(st.integers(1, 60))
    drop = draw(st.booleans()) if drop_last is None else drop_last
    batch_size = share * 12  # divides by 1, 2, 3, 4
    if drop and size < batch_size:
        size += batch_size
    return TrainBatches(size, batch_size, draw(st.integers(1, 30)), 1, draw(st.integers(0, 2**32)), 0, 1, drop)


def of_world(run: TrainBatches, world_size: int, **changes: int) -> list[list[list[Key]]]:
    """The steps of every rank: [rank][step][key]."""
    return [list(replace(run, rank=rank, world_size=world_size, **changes)) for rank in range(world_size)]


def global_batches(ranks: list[list[list[Key]]]) -> Iterator[list[Key]]:
    for shares in zip(*ranks, strict=True):
        yield list(itertools.chain(*shares))


@given(run=runs(drop_last=False))
def test_an_epoch_without_dropping_gives_each_sample_once(run: TrainBatches) -> None:
    epoch = replace(run, max_iter=run.iter_per_epoch)
    assert Counter(itertools.chain(*epoch)) == Counter((0, index) for index in range(run.size))


@given(run=runs(drop_last=True))
def test_an_epoch_with_dropping_gives_no_sample_twice(run: TrainBatches) -> None:
    for epoch, steps in itertools.groupby(run, key=lambda step: step[0][0]):
        keys = [key for step in steps for key in step]
        assert all(key[0] == epoch for key in keys)
        assert len(set(keys)) == len(keys)
        assert len(keys) % run.batch_size == 0


@given(run=runs(), world_size=st.sampled_from([2, 3, 4]))
def test_the_samples_of_a_step_do_not_depend_on_the_number_of_ranks(run: TrainBatches, world_size: int) -> None:
    for alone, together in zip(run, global_batches(of_world(run, world_size)), strict=True):
        assert together[: len(alone)] == alone
        # What is missing for equal shares comes from the beginning of the same epoch.
        assert len(together) - len(alone) == -len(alone) % world_size
        assert {epoch for epoch, _ in together} == {alone[0][0]}


@given(run=runs(), world_size=st.sampled_from([1, 2, 3]), data=st.data())
def test_any_start_goes_on_with_the_same_samples(run: TrainBatches, world_size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(1, run.max_iter))
    for whole, rest in zip(of_world(run, world_size), of_world(run, world_size, start_iter=start), strict=True):
        assert rest == whole[start - 1 :]


@given(run=runs(), start=st.integers(1, 40))
def test_a_run_takes_exactly_the_steps_that_are_left(run: TrainBatches, start: int) -> None:
    rest = replace(run, start_iter=start)
    assert len(list(rest)) == len(rest) == max(0, run.max_iter - start + 1)


@given(run=runs(), accumulate=st.integers(1, 5), world_size=st.sampled_from([1, 2, 3]), data=st.data())
def test_steps_of_several_batches_take_the_same_batches_up_to_the_end_of_each_epoch(
    run: TrainBatches, accumulate: int, world_size: int, data: st.DataObject
) -> None:
    per_epoch = run.iter_per_epoch
    several = replace(run, accumulate=accumulate)
    start = data.draw(st.integers(1, run.max_iter))
    rest = replace(several, start_iter=start)
    batches = list(of_world(run, 1, max_iter=per_epoch * (run.max_iter // several.iter_per_epoch + 1))[0])
    taken = 0
    for step in range(1, run.max_iter + 1):
        number = min(accumulate, per_epoch - taken % per_epoch)
        if step == start:
            assert len(rest) == len(list(rest))
            assert list(rest) == list(several)[taken:]
        expected = tuple(-(-len(batch) // world_size) for batch in batches[taken : taken + number])
        assert replace(several, world_size=world_size).sizes(step) == expected
        taken += number
    assert list(several) == batches[:taken]


def test_a_hundred_steps_from_step_one_are_a_hundred() -> None:
    # The public sampler of the original gives 99.
    run = TrainBatches(50, 4, 100, 1, seed=0, rank=0, world_size=1, drop_last=True)
    assert len(list(run)) == 100


def test_every_epoch_has_an_order_of_its_own_and_a_seed_another_one() -> None:
    run = TrainBatches(16, 16, 3, 1, seed=5, rank=0, world_size=1, drop_last=True)
    orders = [[index for _, index in step] for step in run]
    orders += [[index for _, index in step] for step in replace(run, seed=6)]
    assert len({tuple(order) for order in orders}) == 6
    assert [step[0][0] for step in run] == [0, 1, 2]


def test_a_short_last_batch_is_filled_up_from_the_beginning_of_its_epoch() -> None:
    run = TrainBatches(10, 8, 2, 1, seed=1, rank=0, world_size=4, drop_last=False)
    order = [index for _, index in itertools.chain(*of_world(run, 1)[0])]
    first, last = global_batches(of_world(run, 4))
    assert [index for _, index in first] == order[:8]
    assert [index for _, index in last] == [*order[8:], *order[:2]]


def test_a_data_set_smaller_than_the_world_repeats_itself() -> None:
    run = TrainBatches(1, 4, 1, 1, seed=1, rank=0, world_size=4, drop_last=False)
    assert list(global_batches(of_world(run, 4))) == [[(0, 0)] * 4]


@pytest.mark.parametrize(
    ("size", "drop_last", "steps"),
    [(60_000, True, 468), (60_000, False, 469), (128, True, 1), (128, False, 1), (127, True, 0), (127, False, 1)],
)
def test_the_length_of_an_epoch(size: int, drop_last: bool, steps: int) -> None:
    assert epoch_length(size, 128, drop_last) == steps


@given(size=st.integers(0, 50), batch_size=st.integers(1, 8), world_size=st.integers(1, 7))
def test_an_evaluation_takes_each_sample_once_for_any_number_of_ranks(
    size: int, batch_size: int, world_size: int
) -> None:
    ranks = [EvaluationBatches(size, batch_size, rank, world_size) for rank in range(world_size)]
    assert Counter(index for rank in ranks for batch in rank for _, index in batch) == Counter(range(size))
    for rank in ranks:
        batches = list(rank)
        assert len(rank) == len(batches)
        assert all(0 < len(batch) <= batch_size for batch in batches)


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("left_out", [(1,), (4, 5), (2, 3, 9), (12,), (20, 21)])
@pytest.mark.parametrize("start", [1, 3, 6, 14])
def test_samples_that_are_left_out_make_room_for_the_next(
    accumulate: int, left_out: tuple[int, ...], start: int
) -> None:
    def batches(max_iter: int, start_iter: int = 1, left_out: tuple[int, ...] = ()) -> TrainBatches:
        return TrainBatches(50, 4, max_iter, start_iter, 7, 0, 1, False, accumulate, left_out)

    by_place = [list(batches(place, place)) for place in range(1, 25)]
    kept = [step for place, step in enumerate(by_place, start=1) if place not in left_out]
    found = batches(13, start, left_out)
    expected = [batch for step in kept[start - 1 : 13] for batch in step]
    assert list(found) == expected
    assert len(found) == len(expected)
    assert [found.sizes(step) for step in range(start, 14)] == [tuple(map(len, step)) for step in kept[start - 1 : 13]]
