"""`load_config`: precedence, all sources' problems together, and the name of the checkpoint folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pet.config import ConfigError, config_hash, get_base_cfg, infer_cfg, load_config
from pet.config.infer import checkpoint_folder

TRAINABLE = "TRAIN: {DATASETS: [a]}\n"


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(TRAINABLE + "MISC: {SEED: 1, DISPLAY_ITER: 2}\n")
    cfg = load_config("cls", cfg_file=str(file), overrides=["MISC.DISPLAY_ITER", "3"])
    assert (cfg.MISC.SEED, cfg.MISC.DISPLAY_ITER, cfg.MISC.DEVICE) == (1, 3, "cuda")
    assert cfg.is_frozen()


def test_the_problems_of_all_sources_and_rules_come_together() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("cls", text="MISC: {SEAD: 1}\nTRAIN: {BATCH_SIZE: 7}", overrides=["MISC.SEED", "x"], world_size=2)
    assert [problem.field for problem in caught.value.problems] == [
        "MISC.SEAD", "MISC.SEED", "TRAIN.DATASETS", "TRAIN.BATCH_SIZE",
    ]  # fmt: skip


def test_a_key_that_cannot_be_read_is_not_judged_by_its_default() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("cls", text=TRAINABLE + "MISC: {SEED: 1}", overrides=["TRAIN.BATCH_SIZE", "many"], world_size=3)
    assert [problem.message for problem in caught.value.problems] == [
        "'many' is not a whole number; the default is 16 (command line)"
    ]


def test_no_rule_is_judged_on_a_text_that_cannot_be_read() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("cls", text="A: [", overrides=["MISC.SEED", "x"])
    assert [problem.field for problem in caught.value.problems] == ["config", "MISC.SEED"]


def test_embedded_text_is_read_instead_of_the_file_which_still_names_the_folder() -> None:
    cfg = load_config("cls", cfg_file="cfgs/tasks/cls/none.yaml", text=TRAINABLE)
    assert cfg.MISC.CKPT == "ckpts/tasks/cls/none"


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("cfgs/vision/COCO/X.yaml", "ckpts/vision/COCO/X"),
        ("./cfgs/tasks/cls/../cls/a.b.yaml", "ckpts/tasks/cls/a.b"),
        ("/repo/cfgs/tasks/cls/a.yaml", "/repo/ckpts/tasks/cls/a"),
        ("/old/cfgs/repo/cfgs/a.yaml", "/old/cfgs/repo/ckpts/a"),
        ("ckpts/vision/COCO/X/X.yaml", "ckpts/vision/COCO/X"),
        ("a.yaml", "ckpts/a"),
    ],
)
def test_the_checkpoint_folder_mirrors_the_files_place(file: str, folder: str) -> None:
    assert checkpoint_folder(file) == folder


def test_a_checkpoint_folder_that_is_given_stays() -> None:
    cfg = load_config("cls", cfg_file="cfgs/a.yaml", text=TRAINABLE, overrides=["MISC.CKPT", "mine"])
    assert cfg.MISC.CKPT == "mine"


def test_without_a_file_nothing_names_a_checkpoint_folder() -> None:
    assert load_config("cls", text=TRAINABLE).MISC.CKPT == ""


def test_a_part_of_the_model_switches_on_what_it_implies() -> None:
    cfg = get_base_cfg()
    cfg.merge_from_text(
        "MODEL: {GLOBAL_HEAD: {DET: {RPN_ON: true}}, ROI_HEAD: {MASK_ON: true}}\nVIS: {BOX: {ENABLED: on}}"
    )
    infer_cfg(cfg, "cfgs/vision/COCO/a.yaml")
    heads = cfg.MODEL.GLOBAL_HEAD
    assert (heads.DET_ON, heads.CLS_ON, cfg.MODEL.HAS_BOX, cfg.MODEL.HAS_MASK) == (True, False, True, True)
    assert (cfg.MODEL.HAS_KEYPOINTS, cfg.VIS.ENABLED) == (False, True)


@pytest.mark.parametrize("script", ["vision", "cls"])
def test_inferring_twice_changes_nothing(script: str) -> None:
    cfg = get_base_cfg(script)
    cfg.VIS.MASK.ENABLED = True
    once = dict(infer_cfg(cfg, "cfgs/x/y.yaml").leaves())
    assert dict(infer_cfg(cfg, "cfgs/other/z.yaml").leaves()) == once


def test_the_hash_follows_what_decides_the_training_and_nothing_else() -> None:
    def digest(*overrides: str) -> str:
        return config_hash(load_config("cls", text=TRAINABLE, overrides=overrides))

    base = digest()
    assert len(base) == 16
    for key, value in (
        ("MISC.CKPT", "elsewhere"), ("MISC.DISPLAY_ITER", "7"), ("SOLVER.SNAPSHOT_ITER", "7"),
        ("SOLVER.SNAPSHOT_KEEP", "7"), ("DATA.LOADER_THREADS", "7"), ("TEST.IMS_PER_GPU", "7"),
        ("EVAL.RECORD", "[1]"), ("SOLVER.NAN_GUARD", "false"),
    ):  # fmt: skip
        assert digest(key, value) == base, key
    for key, value in (
        ("SOLVER.OPTIMIZER.BASE_LR", "0.5"), ("MISC.SEED", "7"), ("TRAIN.BATCH_SIZE", "8"),
        ("MODEL.BACKBONE", "slim_resnet"), ("SOLVER.SCHEDULER.TOTAL_ITERS", "7"), ("MISC.DETERMINISTIC", "true"),
        ("TRAIN.WEIGHTS", "w.pth"),
    ):  # fmt: skip
        assert digest(key, value) != base, key


def test_what_a_script_writes_at_run_time_does_not_change_the_hash_of_a_run_in_epochs() -> None:
    cfg = load_config("cls", text=TRAINABLE, overrides=["SOLVER.SCHEDULER.TOTAL_EPOCHS", "2"])
    before = config_hash(cfg)
    cfg.defrost()
    cfg.SOLVER.START_ITER, cfg.SOLVER.SCHEDULER.TOTAL_ITERS = 301, 936
    assert config_hash(cfg) == before
