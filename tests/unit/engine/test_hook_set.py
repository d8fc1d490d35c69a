from __future__ import annotations

from collections.abc import Callable
from functools import partialmethod
from types import SimpleNamespace
from typing import Any

import pytest

from pet.config import ConfigError
from pet.engine.errors import EvaluationStopped, NonFiniteLoss, PeerLost, StopRequested
from pet.engine.hooks.base import POINTS, HookSet, LoopHook, Priority, TrainHook
from pet.engine.hooks.point import Point


class Recorder(TrainHook):
    """Notes its calls; without the points that it does not override."""

    def __init__(self, name: str, calls: list[str], priority: int = Priority.NORMAL) -> None:
        self.name, self.calls, self.priority = name, calls, priority

    def before_step(self, storage: Any) -> None:
        self.calls.append(self.name)


class Counter:
    """A hook with state, of a class that knows nothing of ours."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def raising(error: Exception) -> Any:
    """A hook that raises after a step."""

    class Bad:
        def after_step(self, storage: Any) -> None:
            raise error

    return Bad()


def test_every_point_of_the_base_class_is_bound() -> None:
    class Everywhere:
        pass

    for point in POINTS:
        setattr(Everywhere, point, lambda self, **keywords: None)
    hooks = HookSet([Everywhere()])
    assert {point: len(getattr(hooks, point).calls) for point in POINTS} == dict.fromkeys(POINTS, 1)
    assert set(POINTS) >= {"before_train", "before_step", "after_step", "after_train"}


def test_points_that_a_hook_does_not_override_are_left_out() -> None:
    hooks = HookSet([Recorder("a", []), TrainHook()])
    bound = {point: len(getattr(hooks, point).calls) for point in POINTS}
    assert bound == {**dict.fromkeys(POINTS, 0), "before_step": 1}


def test_methods_are_looked_up_once() -> None:
    calls: list[str] = []
    hook = Recorder("first", calls)
    hooks = HookSet([hook])
    hook.before_step = lambda storage: calls.append("replaced")  # type: ignore[method-assign]
    hooks.before_step(storage=None)
    assert calls == ["first"]


def test_hooks_run_by_priority_and_equal_ones_in_their_order() -> None:
    calls: list[str] = []
    given = [("c", 50), ("e", Priority.WRITER), ("a", Priority.TIMER), ("d", 50), ("b", 20)]
    hooks = HookSet([Recorder(name, calls, priority) for name, priority in given])
    hooks.before_step(storage=None)
    assert calls == ["a", "b", "c", "d", "e"]


def test_the_built_in_order_is_that_of_the_base_hook_s_text() -> None:
    assert sorted(Priority) == [
        Priority.TIMER, Priority.AVERAGE, Priority.LEARNING_RATE, Priority.NORMAL, Priority.PRECISE_BN,
        Priority.REDUCER, Priority.WRITER, Priority.CHECKPOINT, Priority.EVALUATION, Priority.PROFILER,
    ]  # fmt: skip


def test_a_hook_without_a_priority_runs_as_a_user_s() -> None:
    calls: list[str] = []

    class Plain:
        def before_step(self, storage: Any) -> None:
            calls.append("plain")

    HookSet([Recorder("writer", calls, Priority.WRITER), Plain()]).before_step(storage=None)
    assert calls == ["plain", "writer"]


@pytest.mark.parametrize(("point", "keywords"), [("on_exception", {"exc": ValueError()}), ("on_stop", {"reason": ""})])
def test_at_the_end_the_engine_s_hooks_go_before_those_that_may_take_their_time(
    point: str, keywords: dict[str, Any]
) -> None:
    calls: list[str] = []

    class Slow:
        priority = Priority.TIMER

    class Saving(LoopHook):
        priority = Priority.CHECKPOINT

    setattr(Slow, point, lambda self, **keywords: calls.append("user"))
    setattr(Saving, point, lambda self, **keywords: calls.append("engine"))
    getattr(HookSet([Slow(), Saving()]), point).all(**keywords)
    assert calls == ["engine", "user"]


def test_an_evaluation_that_was_left_for_a_stop_leaves_no_hook_of_the_step_out() -> None:
    calls: list[str] = []

    class Evaluating:
        def before_step(self, storage: Any) -> None:
            raise EvaluationStopped

    hooks = HookSet([Recorder("before", calls, 1), Evaluating(), Recorder("after", calls, 99)])
    with pytest.raises(EvaluationStopped):
        hooks.before_step(storage=None)
    assert calls == ["before", "after"]
    assert hooks.errors == {}


class Decorated:
    """Its methods do not carry the names of their points."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def _note(self, storage: Any) -> None:
        self.calls.append(storage)

    after_step = _note
    before_step = partialmethod(_note)

    def after_train(self) -> None:
        self.calls.append("end")


def test_a_method_is_given_what_it_takes_whatever_it_is_called() -> None:
    hook = Decorated()
    hooks = HookSet([hook])
    hooks.before_step(storage=1)
    hooks.after_step(storage=2, epoch=1, max_epoch=3)
    hooks.after_train(storage=3)
    assert hook.calls == [1, 2, "end"]


def test_a_method_that_could_not_be_called_is_refused_before_training() -> None:
    class Wrong:
        def after_eval(self, numbers: Any, verbose: bool = False) -> None: ...

    class Placed:
        def on_stop(self, *arguments: Any) -> None: ...

    with pytest.raises(ConfigError, match=r"TRAIN\.HOOKS.*after_eval of hook Wrong takes 'numbers'.*given metrics, by"):
        HookSet([Wrong()])
    with pytest.raises(
        ConfigError, match=r"TRAIN\.HOOKS.*on_stop of hook Placed takes arguments by place: given are reason, by name"
    ):
        HookSet([Placed()])


def test_an_error_where_a_hook_catches_up_is_its_own() -> None:
    class Owing(LoopHook):
        def catch_up(self) -> None:
            raise ValueError("oh")

    class Other:
        def catch_up(self) -> None:
            raise AssertionError("no point of a user's hook")

    hooks = HookSet([Other(), Owing()])
    with pytest.raises(ValueError, match="oh") as caught:
        hooks.catch_up()
    assert (hooks.errors, caught.value.__notes__) == ({"Owing": 1}, ["raised by hook Owing in catch_up"])


def test_a_property_is_not_looked_into_for_names_that_are_like_points(caplog: pytest.LogCaptureFixture) -> None:
    class Hook(TrainHook):
        @property
        def on_gpu(self) -> bool:
            return self.trainer.device.type == "cuda"

        @classmethod
        def after_steps(cls) -> None: ...

    HookSet([Hook()])
    assert "after_steps is no hook point" in caplog.text
    assert "on_gpu" not in caplog.text


def test_the_second_hook_of_a_class_demands_a_name() -> None:
    # detectron2 silently loses the state of one of them.
    with pytest.raises(ConfigError, match=r"TRAIN.HOOKS.*'Counter'.*another `name`"):
        HookSet([Counter(), Counter()])


def test_two_hooks_of_a_class_keep_both_their_states() -> None:
    def build(first: int, second: int) -> tuple[HookSet, list[Any]]:
        pair = [Counter(first), Counter(second)]
        pair[1].name = "Second"  # type: ignore[attr-defined]
        return HookSet(pair), pair

    state = build(1, 2)[0].state_dict()
    assert state == {"Counter": {"count": 1}, "Second": {"count": 2}}
    resumed, pair = build(0, 0)
    resumed.load_state_dict(state)
    assert [hook.count for hook in pair] == [1, 2]


def test_a_hook_without_a_saved_state_starts_fresh(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    counter = Counter(5)
    HookSet([counter]).load_state_dict({})
    assert counter.count == 5
    assert "hook Counter: no state in the checkpoint, starts fresh" in caplog.text


def test_a_saved_state_without_its_hook_is_told(caplog: pytest.LogCaptureFixture) -> None:
    HookSet([]).load_state_dict({"Gone": {}})
    assert "the checkpoint holds the state of hook Gone, which is not in this run" in caplog.text


def test_a_method_that_looks_like_a_point_is_warned_of_with_the_nearest(caplog: pytest.LogCaptureFixture) -> None:
    class Inherited(TrainHook):
        on_gpu = True

        def after_iter(self) -> None: ...

    class Other(Inherited):
        def before_epoch(self) -> None: ...
        def helper(self) -> None: ...
        def after_step(self, storage: Any, **epochs: int) -> None: ...

    HookSet([Other()])
    assert [record.getMessage() for record in caplog.records] == [
        "hook Other: after_iter is no hook point and is never called; the nearest is after_step",
        "hook Other: before_epoch is no hook point and is never called; the nearest is before_step",
    ]


@pytest.mark.parametrize("epochs", [{}, {"epoch": 2, "max_epoch": 3}])
def test_after_step_may_take_epochs_or_leave_them_out(epochs: dict[str, int]) -> None:
    seen: list[Any] = []

    class Old:
        def after_step(self, storage: Any) -> None:
            seen.append(storage)

    class Keywords:
        def after_step(self, **kwargs: Any) -> None:
            seen.append(kwargs)

    class OneOfThem:
        def after_step(self, storage: Any, epoch: int = 0) -> None:
            seen.append((storage, epoch))

    class Both:
        def after_step(self, storage: Any, epoch: int = 0, max_epoch: int = 0) -> None:
            seen.append((storage, epoch, max_epoch))

    HookSet([Old(), Keywords(), OneOfThem(), Both()]).after_step(storage="s", **epochs)
    epoch, last = epochs.get("epoch", 0), epochs.get("max_epoch", 0)
    assert seen == ["s", {"storage": "s", **epochs}, ("s", epoch), ("s", epoch, last)]


def test_hooks_see_the_loop_and_cannot_change_it_but_for_those_of_the_engine_that_act_on_it() -> None:
    loop: Any = SimpleNamespace(iteration=3, max_iter=9, model="model", optimizer="optimizer", device="cpu", save=print)
    mine, acting, other = TrainHook(), LoopHook(), Counter()
    HookSet([mine, acting, other]).attach(loop)
    names = ("iteration", "max_iter", "model", "optimizer", "device")
    assert [getattr(mine.trainer, name) for name in names] == [3, 9, "model", "optimizer", "cpu"]
    loop.iteration = 4
    assert mine.trainer.iteration == 4
    for name in names:
        with pytest.raises(AttributeError):
            setattr(mine.trainer, name, None)
    assert not hasattr(mine.trainer, "save")
    assert acting.trainer is loop
    assert not hasattr(other, "trainer")


def test_an_error_says_which_hook_raised_it_and_is_counted() -> None:
    errors: dict[str, int] = {}
    hooks = HookSet([raising(ValueError("oh"))], errors)
    with pytest.raises(ValueError, match="oh") as caught:
        hooks.after_step(storage=None)
    assert caught.value.__notes__ == ["raised by hook Bad in after_step"]
    assert errors == {"Bad": 1}


def test_of_two_hooks_with_one_function_the_one_that_raised_is_blamed() -> None:
    answers = iter([None])  # the second call finds nothing

    def after_step(**keywords: Any) -> None:
        if next(answers, "nothing"):
            raise ValueError("oh")

    hooks = HookSet([SimpleNamespace(name=name, after_step=after_step) for name in ("first", "second", "third")])
    with pytest.raises(ValueError, match="oh"):
        hooks.after_step(storage=None)
    assert hooks.errors == {"second": 1}


def test_a_hook_that_calls_others_is_not_blamed_for_theirs() -> None:
    class Saving:
        def after_step(self, storage: Any) -> None:
            hooks.on_checkpoint(state={})

    class Bad:
        def on_checkpoint(self, state: Any) -> None:
            raise KeyError("x")

    hooks = HookSet([Saving(), Bad()])
    with pytest.raises(KeyError):
        hooks.after_step(storage=None)
    assert hooks.errors == {"Bad": 1}


@pytest.mark.parametrize("error", [PeerLost("gone"), StopRequested("stop"), NonFiniteLoss(3, "cls_loss", float("nan")),
                                   RuntimeError("[/gloo/pair.cc:5] Connection closed by peer")])  # fmt: skip
def test_what_is_not_a_hook_s_mistake_is_not_counted_as_one(error: Exception) -> None:
    hooks = HookSet([raising(error)])
    with pytest.raises(type(error)):
        hooks.after_step(storage=None)
    assert hooks.errors == {}
    assert not hasattr(error, "__notes__")


def test_every_call_is_made_and_the_first_error_is_raised_with_the_others(caplog: pytest.LogCaptureFixture) -> None:
    # detectron2 leaves the rest out after the first error.
    made: list[str] = []
    blamed: list[tuple[int, Exception]] = []

    def failing(error: Exception) -> Callable[..., None]:
        def call() -> None:
            made.append(str(error))
            raise error

        return call

    first, cause = ValueError("first"), OSError("its cause")
    first.__cause__ = cause
    others = [KeyError("second"), OSError("third")]
    with pytest.raises(ValueError, match="first") as caught:
        Point([failing(first), *map(failing, others), lambda: made.append("fourth")],
              blame=lambda place, error: blamed.append((place, error))).all()  # fmt: skip
    assert made == ["first", "'second'", "third", "fourth"]
    assert blamed == list(enumerate([first, *others]))
    assert caught.value is first
    assert caught.value.__cause__ is cause
    assert caught.value.__notes__ == [f"then a hook failed as well: {error!r}" for error in others]
    further = caught.value.further  # type: ignore[attr-defined]
    assert isinstance(further, ExceptionGroup)
    assert list(further.exceptions) == others
    assert all(error.__traceback__ for error in others)
    assert "KeyError: 'second'" in caplog.text  # with its traceback
