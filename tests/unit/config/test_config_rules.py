"""The rules between keys, one bad configuration each."""

from __future__ import annotations

import pytest
from harness.config_keys import another_value

from pet.config import ConfigError, check_config, config_warnings, get_base_cfg, load_config
from pet.config.defaults import SCRIPTS, schema
from pet.config.node import Config
from pet.config.rules import NOT_AVAILABLE_YET


def trainable(script: str = "cls", *pairs: object) -> Config:
    """A configuration that breaks no rule, but for `pairs`."""
    cfg = get_base_cfg(script)
    cfg.merge_from_list(["TRAIN.DATASETS", "['a']", *pairs])
    return cfg


@pytest.mark.parametrize(("world_size", "fitting"), [(3, "give 15 or 18"), (32, "give 32"), (8, None)])
def test_row_32_a_batch_that_ranks_cannot_share_is_refused(world_size: int, fitting: str | None) -> None:
    problems = check_config(trainable("cls", "TRAIN.BATCH_SIZE", 16), world_size=world_size)
    assert [problem.field for problem in problems] == (["TRAIN.BATCH_SIZE"] if fitting else [])
    assert fitting is None or fitting in problems[0].message


@pytest.mark.parametrize("script", SCRIPTS)
def test_row_13_the_auxiliary_head_has_its_keys_everywhere_and_is_off(script: str) -> None:
    cfg = get_base_cfg(script)
    assert (cfg.MODEL.AUXDET.STEP1_ENABLED, cfg.MODEL.AUXDET.DISTANCE_LOSS_WARMUP_ITERS) == (False, 0)
    on = trainable(script, "MODEL.AUXDET.STEP1_ENABLED", True)
    assert [problem.field for problem in check_config(on, world_size=1)] == ["MODEL.AUXDET.STEP1_ENABLED"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_defaults_break_no_rule(script: str) -> None:
    assert check_config(trainable(script), world_size=8) == []
    assert config_warnings(trainable(script)) == []


@pytest.mark.parametrize(
    ("pairs", "field", "message"),
    [
        (["TRAIN.DATASETS", "[]"], "TRAIN.DATASETS", "names no data set"),
        (["DATA.PIXEL_STD", "[1.0]"], "DATA.PIXEL_STD", "has 1 entries and MODEL.IN_CHANNELS is 3"),
        (["DATA.PIXEL_STD", "[1, 1, 0]"], "DATA.PIXEL_STD", "every entry must be above 0"),
        (["TRAIN.RESIZE.SCALES", "[]"], "TRAIN.RESIZE.SCALES", "give at least one size"),
        (["SOLVER.START_ITER", "7"], "SOLVER.START_ITER", "7 would be overwritten"),
        (["SOLVER.SNAPSHOT_EPOCHS", "1"], "SOLVER.SNAPSHOT_EPOCHS", "set SOLVER.SCHEDULER.TOTAL_EPOCHS"),
        (["SOLVER.SCHEDULER.WARM_UP_EPOCHS", "0.5"], "SOLVER.SCHEDULER.WARM_UP_EPOCHS", "counts epochs"),
        (["TEST.FREQUENCY_EPOCHS", "1"], "TEST.FREQUENCY_EPOCHS", "counts epochs"),
        (["SOLVER.SNAPSHOT_EPOCHS", "1", "SOLVER.SCHEDULER.TOTAL_EPOCHS", "-1"], "SOLVER.SNAPSHOT_EPOCHS", "epochs"),
        (
            ["TEST.FREQUENCY_EPOCHS", "2", "TEST.FREQUENCY_ITERS", "50", "SOLVER.SCHEDULER.TOTAL_EPOCHS", "3"],
            "TEST.FREQUENCY_EPOCHS",
            "2 and TEST.FREQUENCY_ITERS 50 exclude each other",
        ),
        (["SOLVER.SCHEDULER.STEPS", "[3, 2]"], "SOLVER.SCHEDULER.STEPS", "(3, 2) must rise"),
        (["SOLVER.SCHEDULER.STEPS", "[2, 2]"], "SOLVER.SCHEDULER.STEPS", "must rise"),
        (["MISC.PROFILE", "10"], "MISC.PROFILE", "'10' is not <first step>:<steps>, for example 100:5"),
        (["MISC.PROFILE", "0:5"], "MISC.PROFILE", "is not <first step>:<steps>"),
        (["MISC.PROFILE", "5:0"], "MISC.PROFILE", "is not <first step>:<steps>"),
        (["MISC.PROFILE", "5:1:"], "MISC.PROFILE", "with ranks 100:5:0,3"),
        (["SOLVER.SNAPSHOT_KEEP", "1"], "SOLVER.SNAPSHOT_KEEP", "give at least 2, or 0 to keep all"),
        (["SOLVER.OPTIMIZER.NESTEROV", "true", "SOLVER.OPTIMIZER.TYPE", "ADAMW"], "SOLVER.OPTIMIZER.NESTEROV", "ADAMW"),
        (
            ["SOLVER.OPTIMIZER.NESTEROV", "true", "SOLVER.OPTIMIZER.MOMENTUM", "0"],
            "SOLVER.OPTIMIZER.NESTEROV",
            "MOMENTUM",
        ),
        (["TRAIN.HOOKS", "[{'args': {}}]"], "TRAIN.HOOKS[0].type", "is missing"),
        (["TRAIN.HOOKS", "[{'type': 'a:B', 'arg': {}}]"], "TRAIN.HOOKS[0].arg", "no such field"),
        (
            ["TRAIN.HOOKS", "[{'type': 'a:B', 'priority': True}]"],
            "TRAIN.HOOKS[0].priority",
            "True is not a whole number or text",
        ),
        (
            ["TRAIN.HOOKS", "[{'type': 'a:B', 'args': [25]}]"],
            "TRAIN.HOOKS[0].args",
            "[25] is not a mapping {argument: value}",
        ),
        (["TRAIN.HOOKS", "[{'type': 'my_hooks.Counter'}]"], "TRAIN.HOOKS[0].type", "'my_hooks.Counter' is no hook"),
        (["TRAIN.HOOKS", "[{'type': ':Counter'}]"], "TRAIN.HOOKS[0].type", "give 'module:Class'"),
        (["TRAIN.HOOKS", "[{'type': 'my_hooks:'}]"], "TRAIN.HOOKS[0].type", "give 'module:Class'"),
        (["TRAIN.HOOKS", "[{'type': 'my hooks:Counter'}]"], "TRAIN.HOOKS[0].type", "give 'module:Class'"),
        (["TRAIN.DATASETS", "['../x_train']"], "TRAIN.DATASETS", "'../x_train' leads out of the folder"),
        (["TEST.DATASETS", "['/data/x_test']"], "TEST.DATASETS", "'/data/x_test' leads out of the folder"),
        (
            ["TRAIN.HOOKS", "[{'type': 'a:B', 'priority': 'FOO'}]"],
            "TRAIN.HOOKS[0].priority",
            "'FOO' is no priority",
        ),
        (["TRAIN.HOOKS", "[{'type': 'a:B', 'priority': 'writer'}]"], "TRAIN.HOOKS[0].priority", "did you mean WRITER?"),
        (["TRAIN.RANDOM_RESIZED_CROP.SCALE", "[1, 0.5]"], "TRAIN.RANDOM_RESIZED_CROP.SCALE", "the lower one first"),
        (
            ["TRAIN.RANDOM_RESIZED_CROP.RATIO", "[0, 1]"],
            "TRAIN.RANDOM_RESIZED_CROP.RATIO",
            "(0, 1) must be two",
        ),
        (["MODEL.SLIM_RESNET.BLOCKS", "[1]"], "MODEL.SLIM_RESNET.BLOCKS", "has 1 stages and WIDTHS 4"),
        (["DATA.PIXEL_MEAN", "[1.0]"], "DATA.PIXEL_MEAN", "has 1 entries and MODEL.IN_CHANNELS is 3"),
    ],
)
def test_a_broken_rule_is_a_problem_of_the_key_that_mends_it(pairs: list[str], field: str, message: str) -> None:
    problems = check_config(trainable("cls", *pairs), world_size=None)
    assert [problem.field for problem in problems] == [field]
    assert message in problems[0].message


def test_mean_and_deviation_are_both_held_against_the_channels() -> None:
    fields = ["DATA.PIXEL_MEAN", "DATA.PIXEL_STD"]
    assert [problem.field for problem in check_config(trainable("cls", "MODEL.IN_CHANNELS", "1"), None)] == fields
    [problem] = check_config(trainable("vision", "DATA.PIXEL_STD", "[1.0]"), None)
    assert str(problem) == "DATA.PIXEL_STD: has 1 entries and DATA.PIXEL_MEAN has 3; give one per channel"


@pytest.mark.parametrize(
    ("batch", "world_size", "fitting"), [(7, 2, "give 6 or 8"), (3, 8, "give 8"), (128, 3, "give 126 or 129")]
)
def test_a_batch_that_does_not_divide_by_the_world_size_is_refused_with_what_would(
    batch: int, world_size: int, fitting: str
) -> None:
    problems = check_config(trainable("cls", "TRAIN.BATCH_SIZE", str(batch)), world_size)
    assert [problem.field for problem in problems] == ["TRAIN.BATCH_SIZE"]
    assert problems[0].message.endswith(fitting)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("name", NOT_AVAILABLE_YET)
def test_a_key_whose_feature_is_not_built_cannot_be_set(script: str, name: str) -> None:
    value = another_value(schema(script).keys[name])
    problems = {problem.field: problem.message for problem in check_config(trainable(script, name, value), None)}
    assert list(problems) == [name]
    assert "is not available yet in this release; leave it at " in problems[name]


def test_a_drawing_that_is_asked_for_is_refused_where_it_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"VIS\.BOX\.ENABLED: drawing of boxes is not available yet"):
        load_config("cls", text="TRAIN: {DATASETS: [a]}\nVIS: {BOX: {ENABLED: true}}")


def test_what_counts_epochs_is_right_where_the_run_does() -> None:
    pairs = ["SOLVER.SCHEDULER.TOTAL_EPOCHS", "3", "SOLVER.SNAPSHOT_EPOCHS", "1", "TEST.FREQUENCY_EPOCHS", "1",
             "SOLVER.SCHEDULER.WARM_UP_EPOCHS", "0.5"]  # fmt: skip
    assert check_config(trainable("cls", *pairs), world_size=1) == []


SCHEDULER = "SOLVER.SCHEDULER"
EARLY = [f"{SCHEDULER}.STEPS", "[1]"]  # a milestone that any run comes to


@pytest.mark.parametrize(
    ("pairs", "reason", "field", "message"),
    [
        ([f"{SCHEDULER}.WARM_UP_ITERS", "90000"], "WarmUpTooLong", f"{SCHEDULER}.WARM_UP_ITERS", "TOTAL_ITERS 90000"),
        (
            [*EARLY, f"{SCHEDULER}.TOTAL_ITERS", "20"],
            "WarmUpTooLong",
            f"{SCHEDULER}.WARM_UP_ITERS",
            "500 is not less than",
        ),
        (
            [*EARLY, f"{SCHEDULER}.TOTAL_EPOCHS", "2", f"{SCHEDULER}.WARM_UP_EPOCHS", "2.5"],
            "WarmUpTooLong",
            f"{SCHEDULER}.WARM_UP_EPOCHS",
            "2.5 is not less than TOTAL_EPOCHS 2",
        ),
        (
            [*EARLY, f"{SCHEDULER}.TOTAL_EPOCHS", "2", f"{SCHEDULER}.TOTAL_ITERS", "20"],
            "NoEffect",
            f"{SCHEDULER}.TOTAL_ITERS",
            "20 has no effect: TOTAL_EPOCHS 2 sets the length; leave it out",
        ),
        (
            [
                *EARLY,
                f"{SCHEDULER}.TOTAL_EPOCHS",
                "2",
                f"{SCHEDULER}.WARM_UP_EPOCHS",
                "1",
                f"{SCHEDULER}.WARM_UP_ITERS",
                "9",
            ],
            "NoEffect",
            f"{SCHEDULER}.WARM_UP_ITERS",
            "9 has no effect: WARM_UP_EPOCHS",
        ),
        (
            [*EARLY, f"{SCHEDULER}.TOTAL_EPOCHS", "2", "SOLVER.SNAPSHOT_EPOCHS", "1", "SOLVER.SNAPSHOT_ITER", "9"],
            "NoEffect",
            "SOLVER.SNAPSHOT_ITER",
            "9 has no effect: SNAPSHOT_EPOCHS 1",
        ),
        (
            [f"{SCHEDULER}.POLICY", "COSINE", f"{SCHEDULER}.STEPS", "[3]"],
            "NoEffect",
            f"{SCHEDULER}.STEPS",
            "(3,) has no effect: it belongs to POLICY STEP, and here is COSINE",
        ),
        (
            [f"{SCHEDULER}.POLICY", "POLY", f"{SCHEDULER}.GAMMA", "0.5"],
            "NoEffect",
            f"{SCHEDULER}.GAMMA",
            "here is POLY",
        ),
        (
            [
                "MISC.PROFILE",
                "'101:5'",
                f"{SCHEDULER}.TOTAL_ITERS",
                "100",
                f"{SCHEDULER}.STEPS",
                "[50]",
                f"{SCHEDULER}.WARM_UP_ITERS",
                "10",
            ],
            "NoEffect",
            "MISC.PROFILE",
            "101:5 begins behind the last step, TOTAL_ITERS 100",
        ),
        ([f"{SCHEDULER}.LR_POW", "0.5"], "NoEffect", f"{SCHEDULER}.LR_POW", "it belongs to POLICY POLY"),
        (
            ["SOLVER.SNAPSHOT_KEEP", "0", "SOLVER.SNAPSHOT_KEEP_EACH", "5"],
            "NoEffect",
            "SOLVER.SNAPSHOT_KEEP_EACH",
            "SNAPSHOT_KEEP 0 keeps all",
        ),
        (
            [f"{SCHEDULER}.TOTAL_EPOCHS", "10"],
            "NeverDecays",
            f"{SCHEDULER}.STEPS",
            "TOTAL_EPOCHS 10, so",
        ),
        (
            [f"{SCHEDULER}.TOTAL_ITERS", "600", f"{SCHEDULER}.STEPS", "[600]"],
            "NeverDecays",
            f"{SCHEDULER}.STEPS",
            "(600,) lie beyond the end of the run, TOTAL_ITERS 600",
        ),
        (["DATA.PIXEL_MEAN", "[123, 117, 104]"], "ScaleOfPixels", "DATA.PIXEL_MEAN", "or give rgb255"),
        (["TRAIN.DATASETS", "['mnist_test']"], "TrainsOnTestData", "TRAIN.DATASETS", "did you mean mnist_train?"),
    ],
)
def test_what_contradicts_itself_without_harm_is_warned_of(
    pairs: list[str], reason: str, field: str, message: str
) -> None:
    cfg = trainable("cls", *pairs)
    assert check_config(cfg, world_size=None) == []
    [warning] = config_warnings(cfg)
    assert (warning.reason, warning.field) == (reason, field)
    assert message in warning.message


@pytest.mark.parametrize(
    "pairs",
    [
        [f"{SCHEDULER}.POLICY", "COSINE"],
        [f"{SCHEDULER}.POLICY", "STEP_COSINE", f"{SCHEDULER}.STEPS", "[3]", f"{SCHEDULER}.GAMMA", "0.5"],
        [f"{SCHEDULER}.TOTAL_EPOCHS", "2", f"{SCHEDULER}.STEPS", "[1]"],
        [
            *EARLY,
            f"{SCHEDULER}.TOTAL_EPOCHS",
            "2",
            f"{SCHEDULER}.WARM_UP_EPOCHS",
            "1",
            f"{SCHEDULER}.WARM_UP_ITERS",
            "0",
        ],
        [*EARLY, f"{SCHEDULER}.TOTAL_EPOCHS", "-1", f"{SCHEDULER}.TOTAL_ITERS", "1000"],
        [f"{SCHEDULER}.TOTAL_ITERS", "600", f"{SCHEDULER}.STEPS", "[]"],
        ["DATA.PIXEL_MEAN", "[123, 117, 104]", "DATA.FORMAT.IMAGE", "rgb255"],
        ["TRAIN.HOOKS", "[{'type': 'my.hooks:Counter', 'priority': 'WRITER'}, {'type': 'name', 'priority': 65}]"],
        ["TRAIN.DATASETS", "['my/sub.folder_train', 'a..b_train']"],
    ],
)
def test_what_agrees_is_neither_refused_nor_warned_of(pairs: list[str]) -> None:
    cfg = trainable("cls", *pairs)
    assert check_config(cfg, world_size=None) == []
    assert config_warnings(cfg) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_configuration_that_was_dumped_is_not_warned_of(script: str) -> None:
    again = get_base_cfg(script)
    again.merge_from_text(trainable(script, f"{SCHEDULER}.TOTAL_EPOCHS", "3", f"{SCHEDULER}.POLICY", "COSINE").dump())
    assert config_warnings(again) == []
