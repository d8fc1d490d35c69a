"""Going back behind a step whose numbers were not finite: ordered by one start, done by the next, whoever it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from harness.deaths import KINDS, every_death
from harness.dying import Report
from harness.stores import JOB, attempt, hidden, iteration_of, opened, overwrite, save, saved, temporary

from pet.store.errors import Fenced


def test_the_next_start_goes_on_from_before_the_step_and_hides_what_came_later(tmp_path: Path) -> None:
    saved(tmp_path, 10, 20, 30)
    tenure, _ = opened(tmp_path)
    save(tenure, 25, "model_epoch1-80.00.pth", link=False)
    save(tenure, 15, "model_epoch1-70.00.pth", link=False)
    tenure.order_rollback(20, [19, 20])
    later, selected = opened(tmp_path, attempt(2))  # another pod
    assert iteration_of(selected) == 10
    assert (tmp_path / "model_latest.pth").samefile(tmp_path / "model_iter10.pth")
    assert later.left_out == (19, 20)
    left = {name.removeprefix(".rolledback-uid-1-0-") for name in hidden(tmp_path, "rolledback")}
    pairs = ("model_iter20", "model_iter30", "model_epoch1-80.00")
    assert left == {f"{name}.{suffix}" for name in pairs for suffix in ("pth", "manifest.json")}
    assert (tmp_path / "model_epoch1-70.00.pth").exists()
    assert not temporary(tmp_path)


def test_it_is_done_once_and_what_it_leaves_out_is_remembered(tmp_path: Path) -> None:
    tenure, _ = opened(saved(tmp_path, 10, 20))
    tenure.order_rollback(20, [20])
    tenure, _ = opened(tmp_path)
    save(tenure, 20, salt="again")
    tenure, selected = opened(tmp_path)
    assert iteration_of(selected, salt="again") == 20
    assert tenure.left_out == (20,)
    tenure.order_rollback(17, [16, 17])
    tenure, selected = opened(tmp_path)
    assert iteration_of(selected) == 10
    assert tenure.left_out == (16, 17, 20)
    assert len(hidden(tmp_path, "rolledback")) == 4


def test_with_nothing_before_the_step_training_begins_anew(tmp_path: Path) -> None:
    tenure, _ = opened(saved(tmp_path, 10))
    tenure.order_rollback(3, [3])
    for _ in range(2):
        _, selected = opened(tmp_path)
        assert selected is None
    assert not (tmp_path / "model_latest.pth").exists()


def test_a_start_that_was_replaced_orders_nothing(tmp_path: Path) -> None:
    zombie, _ = opened(saved(tmp_path, 10, 20))
    opened(tmp_path, attempt(2))
    with pytest.raises(Fenced):
        zombie.order_rollback(10, [10])
    assert iteration_of(opened(tmp_path, attempt(2))[1]) == 20


def test_a_job_that_begins_anew_takes_over_no_order(tmp_path: Path) -> None:
    tenure, _ = opened(saved(tmp_path, 10))
    tenure.order_rollback(5, [5])
    tenure, selected = opened(tmp_path, replace(JOB, uid="uid-2"), own_only=True)
    assert (selected, tenure.left_out) == (None, ())
    assert any(name.endswith("-ROLLBACK") for name in hidden(tmp_path, "superseded"))
    assert not hidden(tmp_path, "rolledback")


def test_a_successor_that_goes_on_obeys(tmp_path: Path) -> None:
    tenure, _ = opened(saved(tmp_path, 10, 20))
    tenure.order_rollback(20, [20])
    tenure, selected = opened(tmp_path, replace(JOB, uid="uid-2"))
    assert (iteration_of(selected), tenure.left_out) == (10, (20,))


def test_a_damaged_order_is_passed_over_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tenure, _ = opened(saved(tmp_path, 10, 20))
    tenure.order_rollback(20, [20])
    overwrite(tmp_path / "ROLLBACK", (tmp_path / "ROLLBACK").read_bytes().replace(b"20", b"10"))
    tenure, selected = opened(tmp_path)
    assert (iteration_of(selected), tenure.left_out) == (20, ())
    assert "ROLLBACK cannot be used: its checksum does not fit" in caplog.text
    tenure.order_rollback(15, [15])
    assert opened(tmp_path)[0].left_out == (15,)


@pytest.mark.parametrize("kind", KINDS)
def test_death_while_it_is_ordered_or_done_ends_before_the_step_or_where_it_was(memory_path: Path, kind: str) -> None:
    def prepare(path: Path) -> None:
        saved(path, 10, 20, 30)

    def action(path: Path, report: Report) -> None:
        tenure, _ = opened(path)
        tenure.order_rollback(20, [20])
        report("ordered")
        opened(path)

    def check(path: Path, reports: list[str]) -> None:
        tenure, selected = opened(path)
        iteration = iteration_of(selected)
        assert iteration in ({10} if reports else {10, 30})
        assert tenure.left_out == ((20,) if iteration == 10 else ())
        assert not hidden(path, "bad")
        save(tenure, 20, salt="again")
        assert iteration_of(opened(path)[1], salt="" if iteration == 30 else "again") == max(iteration or 0, 20)

    every_death(prepare, action, memory_path, kind, check)
