"""What jobs of one configuration share, and what they do not."""

from __future__ import annotations

from typing import Any

from harness.junk import JOB

from pet.config.check import JobReview, check_manifest, stock_cfg

CFG = "cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml"


def reviewed(name: str, **spec: Any) -> JobReview:
    text = stock_cfg(CFG)
    manifest = {**JOB, "metadata": {**JOB["metadata"], "name": name},
                "spec": {"cfg": CFG, "config": text, "gpusPerNode": 0, **spec}}  # fmt: skip
    return check_manifest(manifest)


def test_it_is_read_once_and_cannot_be_changed() -> None:
    first, second = reviewed("first"), reviewed("second")
    assert first.cfg is not None
    assert first.cfg is second.cfg
    assert first.cfg.is_frozen()


def test_another_override_or_number_of_ranks_makes_another() -> None:
    seed = reviewed("seed", overrides={"MISC.SEED": 7})
    assert seed.cfg is not None
    assert (seed.cfg.MISC.SEED, seed.problems) == (7, ())
    misspelt = reviewed("misspelt", overrides={"MISC.SEDE": 7})
    assert [problem.field for problem in misspelt.problems] == ["MISC.SEDE"]
    assert reviewed("again", overrides={"MISC.SEED": 7}).problems == ()
    odd = reviewed("odd", nodes=3, overrides={"TRAIN.BATCH_SIZE": 8})
    assert [problem.field for problem in odd.problems] == ["TRAIN.BATCH_SIZE"]
    assert reviewed("even", nodes=2, overrides={"TRAIN.BATCH_SIZE": 8}).problems == ()
