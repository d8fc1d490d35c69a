from __future__ import annotations

import math
from operator import mul
from typing import Any

import pytest
import torch
from harness.ranks import run_ranks

from pet.engine.distributed import get_rank
from pet.engine.errors import NonFiniteLoss
from pet.engine.events import EventStorage
from pet.engine.metrics import flush_metrics, write_metrics


def values(storage: EventStorage, name: str) -> list[float]:
    """All values of a short history, oldest first."""
    return list(storage.history(name)._ring)


def write(storage: EventStorage, **metrics: float | torch.Tensor) -> None:
    write_metrics(metrics, storage)
    storage.step()


def test_every_step_of_a_window_is_in_the_history_exactly() -> None:
    storage = EventStorage(1)
    losses = [0.1 * k for k in range(1, 8)]
    for k, loss in enumerate(losses):
        write(storage, loss=torch.tensor(loss, dtype=torch.float64), data_time=k / 3)
    assert storage.histories() == {}  # nothing was read so far
    flush_metrics(storage)
    assert values(storage, "loss") == losses
    assert values(storage, "data_time") == [k / 3 for k in range(7)]


def test_a_window_is_read_once() -> None:
    storage = EventStorage(1)
    write(storage, loss=torch.tensor(1.0))
    flush_metrics(storage)
    flush_metrics(storage)
    assert values(storage, "loss") == [1.0]


def test_numbers_known_on_the_host_alone_need_no_device() -> None:
    storage = EventStorage(1)
    write(storage, data_time=0.25)
    write(storage, data_time=0.5)
    flush_metrics(storage)
    assert values(storage, "data_time") == [0.25, 0.5]


def test_names_may_differ_between_steps_and_keep_the_order_of_steps() -> None:
    storage = EventStorage(1)
    for k in range(1, 6):
        extra = {"aux_loss": torch.tensor(10.0 * k)} if k % 2 == 0 else {}
        write(storage, loss=torch.tensor(float(k)), **extra)
    flush_metrics(storage)
    assert values(storage, "loss") == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert values(storage, "aux_loss") == [20.0, 40.0]


def test_terms_of_different_precision_are_read_together() -> None:
    storage = EventStorage(1)
    write(storage, loss=torch.tensor(0.5, dtype=torch.bfloat16), acc1=torch.tensor(0.25), hits=torch.tensor(3))
    flush_metrics(storage)
    assert storage.latest() == {"loss": 0.5, "acc1": 0.25, "hits": 3.0}


def test_a_later_change_of_the_model_s_own_tensor_does_not_reach_the_history() -> None:
    storage = EventStorage(1)
    loss = torch.tensor(1.0, requires_grad=True)
    write(storage, loss=loss)
    with torch.no_grad():
        loss.fill_(9.0)
    flush_metrics(storage)
    assert values(storage, "loss") == [1.0]


def test_remembering_a_loss_keeps_no_graph_alive() -> None:
    storage = EventStorage(1)
    weight = torch.ones(3, requires_grad=True)
    write(storage, loss=(weight * 2).sum())
    (kept,) = storage.pending.on_device
    assert not kept.requires_grad


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_loss_that_is_not_finite_is_named_by_step_and_term(bad: float) -> None:
    storage = EventStorage(100)
    for k in range(100, 106):
        box = torch.tensor(bad if k >= 104 else 1.0)
        cls = torch.tensor(bad if k >= 103 else 1.0)
        write(storage, box_loss=box, cls_loss=cls, total_loss=box + cls)
    with pytest.raises(NonFiniteLoss, match=r"'cls_loss' is .* at iteration 103: lower") as caught:
        flush_metrics(storage)
    assert (caught.value.iteration, caught.value.term) == (103, "cls_loss")


def test_the_first_bad_step_is_found_among_steps_of_different_names() -> None:
    storage = EventStorage(1)
    write(storage, a_loss=torch.tensor(1.0))
    write(storage, b_loss=torch.tensor(math.nan))
    write(storage, a_loss=torch.tensor(math.nan))
    with pytest.raises(NonFiniteLoss) as caught:
        flush_metrics(storage)
    assert (caught.value.iteration, caught.value.term) == (2, "b_loss")


def test_the_term_that_spoils_a_sum_is_named_where_terms_come_and_go() -> None:
    storage = EventStorage(1)
    write(storage, box_loss=torch.tensor(1.0), total_loss=torch.tensor(1.0))
    write(storage, mask_loss=torch.tensor(math.nan), total_loss=torch.tensor(math.nan))
    with pytest.raises(NonFiniteLoss) as caught:
        flush_metrics(storage)
    assert (caught.value.iteration, caught.value.term) == (2, "mask_loss")


def test_what_is_written_again_in_a_step_takes_the_place_of_what_was_written_before() -> None:
    storage = EventStorage(1)
    for k in range(1, 4):
        extra = {"aux_loss": torch.tensor(0.0)} if k > 1 else {}  # new names: their table is younger than the hook's
        write_metrics({"acc": torch.tensor(0.25), **extra}, storage)
        write(storage, acc=torch.tensor(k / 4))
    flush_metrics(storage)
    assert values(storage, "acc") == [0.25, 0.5, 0.75]


@pytest.mark.parametrize("kinds", [(float, torch.tensor), (torch.tensor, float)])
def test_the_later_of_two_numbers_counts_wherever_each_is_known(kinds: tuple[Any, Any]) -> None:
    storage = EventStorage(1)
    for kind, number in zip(kinds, (1.0, 2.0), strict=True):
        write_metrics({"hits": kind(number)}, storage)
    flush_metrics(storage)
    assert values(storage, "hits") == [2.0]


def test_what_is_written_of_a_whole_step_takes_the_place_of_its_batches() -> None:
    storage = EventStorage(1)
    for batches in (2, 3):  # the last step of an epoch has another number of them
        for _ in range(batches):
            write_metrics({"acc": torch.tensor(0.25)}, storage, 1 / batches)
        write(storage, acc=torch.tensor(0.75))
    flush_metrics(storage)
    assert values(storage, "acc") == [0.75, 0.75]


def test_batches_of_a_step_are_added_in_their_order_whatever_their_shares() -> None:
    storage = EventStorage(1)
    write_metrics({"loss": torch.tensor(1.0)}, storage, 0.2)  # the third share of the next step, met before the others
    storage.step()
    shares, losses = (0.4, 0.4, 0.2), (0.1, 0.7, 0.3)
    for share, loss in zip(shares, losses, strict=True):
        write_metrics({"loss": torch.tensor(loss, dtype=torch.float64)}, storage, share)
    flush_metrics(storage)
    assert values(storage, "loss")[1] == sum(map(mul, shares, losses))


def test_without_the_guard_losses_that_are_not_finite_are_counted() -> None:
    storage = EventStorage(1)
    write(storage, loss=torch.tensor(math.nan), acc1=torch.tensor(math.nan))
    write(storage, loss=torch.tensor(1.0), acc1=torch.tensor(1.0))
    flush_metrics(storage, guard=False)
    assert storage.nonfinite == 1
    assert math.isnan(values(storage, "loss")[0])


def _window_of_two_ranks() -> dict[str, list[float]]:
    rank = get_rank()
    storage = EventStorage(1)
    for k in range(3):
        extra = {"aux_loss": torch.tensor(float(rank))} if k == 1 else {}
        write(storage, loss=torch.tensor(k + 10.0 * rank), best_acc1=torch.tensor(float(k * rank)),
              data_time=0.5 + rank, time=1.0 + rank, **extra)  # fmt: skip
    write(storage, time=4.0 + 2 * rank)
    flush_metrics(storage)
    return {name: values(storage, name) for name in storage.histories()}


def _bad_loss_on_one_rank() -> tuple[int, str]:
    storage = EventStorage(1)
    for k in range(1, 5):
        write(storage, loss=torch.tensor(math.inf if k == 3 and get_rank() == 1 else 1.0))
    with pytest.raises(NonFiniteLoss) as caught:
        flush_metrics(storage)
    return caught.value.iteration, caught.value.term


def _windows_of_ranks() -> tuple[dict[str, list[float]], tuple[int, str]]:
    return _window_of_two_ranks(), _bad_loss_on_one_rank()


def test_ranks_see_the_same_numbers_slowest_for_data_time_and_mean_for_the_rest() -> None:
    outcomes = run_ranks(_windows_of_ranks, 2)
    assert outcomes[0] == outcomes[1]
    numbers, bad = outcomes[0]
    assert numbers == {
        "loss": [5.0, 6.0, 7.0],
        "best_acc1": [0.0, 1.0, 2.0],
        "data_time": [1.5, 1.5, 1.5],
        "time": [1.5, 1.5, 1.5, 5.0],
        "aux_loss": [0.5],
    }
    assert bad == (3, "loss")
