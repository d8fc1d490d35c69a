"""The bugs of other trainers that ours must not have: where the test of each one is, and those that stand nowhere else.

1-3, 8 hooks · 4, 19 numbers · 5, 14, 18 the step · 6, 9-13 resuming · 7 history · 15 signals · 16, 17 data · 20 DDP.
"""

from __future__ import annotations

import ast
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from harness.counting import StepCounter, StepMarks, fetch_in_advance
from harness.runs import begin, trained
from harness.toy import short_toy

from pet.engine.errors import StopRequested
from pet.engine.events import EventStorage

TESTS = Path(__file__).parents[2]
TRAINER = TESTS.parent / "trainer/pet"

BUGS: dict[str, tuple[str, ...]] = {
    "1 the second hook of a class loses its state (detectron2)": (
        "unit/engine/test_hook_set.py::test_the_second_hook_of_a_class_demands_a_name",
        "unit/engine/test_hook_set.py::test_two_hooks_of_a_class_keep_both_their_states",
    ),
    "2 a hook that raises in after_train skips the rest (detectron2)": (
        "unit/engine/test_hook_set.py::test_every_call_is_made_and_the_first_error_is_raised_with_the_others",
        "unit/engine/test_loop_errors.py::test_rows_5_and_6_an_error_keeps_the_weights_apart_and_every_hook_is_told",
    ),
    "3 the traceback of a hook's error is lost (MMEngine)": (
        "unit/engine/test_loop_errors.py::test_rows_5_and_6_an_error_keeps_the_weights_apart_and_every_hook_is_told",
        "unit/engine/test_rank_exits.py::test_an_error_ends_the_rank_with_the_code_of_its_class",
    ),
    "4 steps go on with weights that are NaN (detectron2)": (
        "unit/engine/test_loop_errors.py"
        "::test_a_loss_that_is_not_finite_ends_training_by_name_and_nothing_bad_is_saved",
    ),
    "5 the trainer for mixed precision drops an option (detectron2)": (
        "unit/engine/test_precision.py::test_5_every_option_holds_in_every_precision",
    ),
    "6 a guard compares what nobody writes (MMEngine)": (
        "unit/engine/test_bugs_of_others.py::test_6_each_guard_of_a_resume_fires",
        "unit/engine/test_checkpointer_resuming.py::test_circumstances_that_change_bits_are_said",
        "component/test_checkpoint_agreement.py::test_another_number_of_ranks_resumes_without_the_state_of_each",
        "unit/engine/test_accumulation.py::test_a_resume_with_another_number_of_batches_says_that_the_order_changed",
    ),
    "7 the history grows, and a step with it (MMEngine)": (
        "unit/engine/test_bugs_of_others.py::test_7_a_long_history_costs_a_step_and_a_checkpoint_nothing",
        "unit/engine/test_event_storage.py::test_what_a_checkpoint_keeps_of_the_numbers_does_not_grow_with_the_run",
    ),
    "8 declared events never fire (ultralytics)": (
        "unit/engine/test_train_loop.py::test_every_point_is_called_in_its_place",
        "unit/engine/test_train_loop.py::test_every_point_is_called_in_one_run",
    ),
    "9 a stop within an epoch resumes at the next one (timm)": (
        "unit/engine/test_train_loop.py"
        "::test_row_3_a_resumed_training_takes_each_step_once_with_the_same_samples_and_weights",
        "unit/engine/test_accumulation.py::test_a_training_goes_on_exactly_after_any_step",
    ),
    "10 what was trained on is decoded again on a resume (MMEngine)": (
        "unit/engine/test_train_loop.py"
        "::test_row_3_a_resumed_training_takes_each_step_once_with_the_same_samples_and_weights",
    ),
    "11 the order of samples is lost on a resume (accelerate)": (
        "unit/engine/test_train_loader.py::test_row_2_a_run_in_iterations_goes_on_with_the_same_batches_anywhere",
        "unit/engine/test_sampler.py::test_any_start_goes_on_with_the_same_samples",
    ),
    "12 the old checkpoint goes before the new one is there (MMEngine, fvcore, ultralytics)": (
        "unit/store/test_deaths_in_save.py::test_death_in_the_save_of_a_new_iteration_loses_nothing_acknowledged",
    ),
    "13 an average in float16 is all there is to resume from (ultralytics)": (
        "unit/engine/test_moving_average.py"
        "::test_13_resumed_average_and_weights_are_bit_for_bit_those_of_an_uninterrupted_run",
    ),
    "14 a reduce for each batch that is accumulated (ultralytics)": (
        "unit/engine/test_accumulation.py::test_14_ranks_exchange_gradients_once_a_step_and_agree_with_one_process",
    ),
    "15 a collective in a signal handler, and a read in each step (Lightning)": (
        "unit/engine/test_bugs_of_others.py::test_15_a_signal_is_neither_read_for_nor_answered_in_its_handler",
        "unit/engine/test_stop_signals.py::test_a_stop_signal_sets_a_flag_and_nothing_else",
    ),
    "16 a prefetching stream that races with its consumer (timm)": (
        "unit/engine/test_bugs_of_others.py::test_16_no_batch_is_moved_on_a_stream_of_its_own",
    ),
    "17 samples of a padded evaluation count twice (torchvision)": (
        "unit/engine/test_sampler.py::test_an_evaluation_takes_each_sample_once_for_any_number_of_ranks",
    ),
    "18 the rest of an accumulation is scaled wrongly": (
        "unit/engine/test_accumulation.py"
        "::test_18_the_gradient_is_that_of_all_samples_of_the_step_at_once_whatever_is_left_for_the_last",
    ),
    "19 the loss is read between forward and backward (Pet, torchvision, detectron2)": (
        "unit/engine/test_step_counts.py::test_a_step_that_does_not_log_reads_no_tensor",
        "unit/engine/test_bugs_of_others.py::test_19_a_step_that_logs_reads_after_the_optimizer",
    ),
    "20 an argument of DDP under a name that is gone": (
        "unit/engine/test_ddp.py::test_options_reach_torch_under_the_names_that_it_has",
    ),
}


def functions(path: str) -> set[str]:
    tree = ast.parse((TESTS / path).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_there_are_twenty() -> None:
    assert [int(name.partition(" ")[0]) for name in BUGS] == list(range(1, 21))


@pytest.mark.parametrize("bug", BUGS)
def test_each_bug_has_the_tests_that_are_named_here(bug: str) -> None:
    missing = [test for test in BUGS[bug] if test.partition("::")[2] not in functions(test.partition("::")[0])]
    assert missing == []


def test_each_odd_corner_of_pet_has_a_test_named_after_its_row() -> None:
    """Rows 1 to 34; files with `row` for the rows of other tables are left out."""
    others = {"test_script_resolution.py", "test_opening_table.py"}
    found: set[int] = set()
    for path in TESTS.rglob("test_*.py"):
        if path.name not in others:
            for rows in re.findall(r"def test_rows?_(\d+(?:_and_\d+)*)_", path.read_text("utf-8")):
                found |= {int(row) for row in rows.split("_and_")}
    assert found == set(range(1, 35))


def as_if_torch_was_another(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(torch, "__version__", "2.14.9")
    return "the torch was "


def as_if_there_were_more_threads(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    return "the number of threads was "


@pytest.mark.parametrize("change", [as_if_torch_was_another, as_if_there_were_more_threads])
def test_6_each_guard_of_a_resume_fires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    change: Callable[[pytest.MonkeyPatch], str],
) -> None:  # fmt: skip
    trained(tmp_path, 2)
    caplog.clear()
    begin(tmp_path)
    assert "not bit-exact" not in caplog.text
    said = change(monkeypatch)
    begin(tmp_path)
    assert f"resume is not bit-exact: {said}" in caplog.text


def with_history(folder: Path, entries: int) -> tuple[list[int], list[list[str]], int]:
    """Operations and reads by step, and the bytes of the checkpoint, of a run that has so many entries already."""
    counter = StepCounter()
    toy = short_toy(folder, 8, "MISC.DISPLAY_ITER", 4, hooks=[StepMarks(counter.mark)])
    loop = toy.build()
    for name in ("loss_cls", "loss_box", "total_loss", "time", "data_time", "hook_time"):
        for _ in range(entries):
            loop._storage.put_scalar(name, 0.5)
    fetch_in_advance(loop)
    with counter.watching():
        loop.run()
    size = (toy.checkpoints / "model_iter8.pth").stat().st_size
    return counter.operations[1:], counter.reads[1:], size


def test_7_a_long_history_costs_a_step_and_a_checkpoint_nothing(tmp_path: Path) -> None:
    short, long = with_history(tmp_path / "short", 200), with_history(tmp_path / "long", 300_000)
    assert long[:2] == short[:2]
    assert abs(long[2] - short[2]) < 100  # digits of sums and counts


@pytest.mark.usefixtures("stop_signals")
def test_15_a_signal_is_neither_read_for_nor_answered_in_its_handler(tmp_path: Path) -> None:
    counter, steps = StepCounter(), []

    class Signalled:
        def after_backward(self, storage: EventStorage) -> None:
            if storage.iter == 6:
                before = len(counter.operations), sum(counter.operations)
                signal.raise_signal(signal.SIGTERM)
                assert (len(counter.operations), sum(counter.operations)) == before

        def after_step(self, storage: EventStorage) -> None:
            steps.append(storage.iter)

    loop = short_toy(tmp_path, 9, hooks=[StepMarks(counter.mark), Signalled()]).build()
    fetch_in_advance(loop)
    with counter.watching(), pytest.raises(StopRequested):
        loop.run()
    assert steps == [1, 2, 3, 4, 5, 6]  # the step was finished
    assert counter.reads[:5] == [[]] * 5


def test_16_no_batch_is_moved_on_a_stream_of_its_own() -> None:
    # Whoever adds one adds the test with a slow consumer, on a GPU.
    streams = [path.name for path in TRAINER.rglob("*.py") if re.search(r"cuda\.[Ss]tream", path.read_text("utf-8"))]
    assert streams == []


def test_19_a_step_that_logs_reads_after_the_optimizer(tmp_path: Path) -> None:
    counter, reads_before_the_end = StepCounter(), []

    class Optimized:
        """The first hook after the optimizer's step."""

        priority = 0

        def after_step(self, storage: EventStorage) -> None:
            reads_before_the_end.append(list(counter.reads[-1]))

    loop = short_toy(tmp_path, 4, "MISC.DISPLAY_ITER", 1, hooks=[StepMarks(counter.mark), Optimized()]).build()
    fetch_in_advance(loop)
    with counter.watching():
        loop.run()
    assert reads_before_the_end == [[]] * 4
    assert [reads[:1] for reads in counter.reads] == [["tolist"]] * 4
