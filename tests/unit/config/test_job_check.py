"""What `pet plan`, the operator and the launcher find out about a job before anything is started."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from harness.jobs import cpu_manifest

from pet.config.check import JobReview, check_job, check_manifest, check_text
from pet.config.job import read_job

SCRIPTS = ("tools/tasks/cls/train_net.py",)


def manifest(name: str = "job", **spec: Any) -> dict[str, Any]:
    """A valid job on two CPU ranks, but for `spec`."""
    return cpu_manifest(name, **({"config": VALID_CONFIG} | spec))


def check(**spec: Any) -> JobReview:
    return check_manifest(manifest(**spec), SCRIPTS)


def problems(review: JobReview) -> dict[str, str]:
    return {problem.field: problem.message for problem in review.problems}


def reasons(review: JobReview) -> list[str]:
    return [warning.reason for warning in review.warnings]


def test_a_valid_job_has_a_script_and_a_configuration() -> None:
    review = check()
    assert review.valid
    assert not review.warnings
    assert review.script is not None
    assert review.script.path == SCRIPTS[0]
    assert review.cfg is not None
    assert review.cfg.TRAIN.BATCH_SIZE == 8
    assert review == check_job(read_job(manifest()), SCRIPTS)


def test_all_problems_of_spec_script_and_configuration_come_together() -> None:
    template = {"spec": {"containers": [{"env": [{"name": "RANK"}]}]}}
    config = {"TRAIN": {"DATASETS": ["a_train"], "BATCH_SIZE": 7, "BATCHSIZE": 1}, "SOLVER": {"SNAPSHOT_ITER": "often"}}
    review = check_manifest(manifest("n" * 51, cfg="cfgs/tasks/clss/a.yaml", config=config, template=template), SCRIPTS)
    assert list(problems(review)) == [
        "metadata.name",
        "spec.template.spec.containers[0].env[0].name",
        "spec.cfg",
        "TRAIN.BATCHSIZE",
        "SOLVER.SNAPSHOT_ITER",
        "TRAIN.BATCH_SIZE",
        "MISC.DEVICE",
    ]
    assert review.script is None
    assert review.cfg is None


VALID_CONFIG: dict[str, Any] = {"TRAIN": {"DATASETS": ["a_train"], "BATCH_SIZE": 8}, "MISC": {"DEVICE": "cpu"}}


def changed(**sections: Any) -> dict[str, Any]:
    """The valid configuration with other sections."""
    return VALID_CONFIG | sections


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ({"nodes": "two", "overrides": {"TRAIN.BATCH_SIZE": 7}}, "spec.nodes"),
        ({"gpusPerNode": "none", "procsPerNode": None, "overrides": {"TRAIN.BATCH_SIZE": 7}}, "spec.gpusPerNode"),
        ({"procsPerNode": 0, "overrides": {"TRAIN.BATCH_SIZE": 7}}, "spec.procsPerNode"),
        ({"cfg": 3}, "spec.cfg"),
        ({"cfg": "cfgs/tasks/clss/a.yaml", "config": None}, "spec.cfg"),
        ({"type": ["tasks"], "cfg": "a.yaml"}, "spec.type"),
        ({"image": 3, "cfg": "cfgs/tasks/mine/a.yaml", "config": changed(MINE={})}, "spec.image"),
        ({"config": [1, 2]}, "spec.config"),
        ({"config": "text"}, "spec.config"),
        ({"config": ""}, "spec.config"),
        ({"overrides": ["TRAIN.DATASETS"], "config": {"MISC": {"DEVICE": "cpu"}}}, "spec.overrides"),
        ({"scriptArgs": ["TRAIN.DATASETS", ["a"]], "config": {"MISC": {"DEVICE": "cpu"}}}, "spec.scriptArgs[1]"),
        ({"scriptArgs": [3]}, "spec.scriptArgs[0]"),
        ({"checkpoint": 3}, "spec.checkpoint"),
        ({"checkpoint": {"volume": 3}}, "spec.checkpoint.volume"),
        ({"data": 3}, "spec.data"),
        ({"config": changed(MISC=None)}, "MISC"),
        ({"config": changed(MISC={"DEVICE": 3})}, "MISC.DEVICE"),
        ({"config": changed(MISK={"DEVICE": "cpu"}, MISC={})}, "MISK"),
        ({"config": changed(DEVICE="cpu", MISC={})}, "DEVICE"),
        ({"config": changed(TRAIN={"DATASET": ["a"], "BATCH_SIZE": 8})}, "TRAIN.DATASET"),
        ({"config": changed(MODEL={"IN_CHANNELS": 2})}, "MODEL.IN_CHANNELS"),
        ({"config": changed(DATA={"PIXEL_MEAN": [float("nan")]})}, "DATA.PIXEL_MEAN"),
        ({"config": changed(VIS={"BOX": {"ENABLED": True}})}, "VIS.BOX.ENABLED"),
    ],
)
def test_one_cause_is_one_problem(broken: dict[str, Any], field: str) -> None:
    review = check(**broken)
    assert list(problems(review)) == [field]
    assert len(review.problems) == 1
    assert not [warning for warning in review.warnings if warning.reason != "KeyNotChecked"]


@pytest.mark.parametrize(("part", "broken"), [("spec", 3), ("spec", None), ("metadata", 3), ("metadata", None)])
def test_a_part_that_is_missing_or_no_mapping_is_one_problem(part: str, broken: object) -> None:
    [problem] = check_manifest(manifest() | {part: broken}, SCRIPTS).problems
    assert problem.field == part if broken else problem.field in (part, "metadata.name")


def test_a_misspelt_key_does_not_hide_what_is_wrong_with_the_right_one() -> None:
    train = {"DATASETS": ["a_train"], "BATCHSIZE": 8, "BATCH_SIZE": 7}
    assert list(problems(check(config=changed(TRAIN=train)))) == ["TRAIN.BATCHSIZE", "TRAIN.BATCH_SIZE"]


def test_a_script_that_belongs_to_pet_but_is_not_built_is_refused_without_judging_its_keys() -> None:
    review = check(cfg="cfgs/tasks/face/a.yaml", config={"TRAIN": {"DATASETS": ["a_train"]}, "MODEL": {"ARCFACE": 1},
                                                          "MISC": {"DEVICE": "cpu"}})  # fmt: skip
    assert list(problems(review)) == ["spec.cfg"]
    assert problems(review)["spec.cfg"].endswith("is not built yet; available: tools/tasks/cls/train_net.py")
    assert reasons(review) == ["KeyNotChecked"]


def test_a_wrong_type_is_a_problem_of_the_spec() -> None:
    assert "did you mean tasks?" in problems(check(type="task"))["spec.type"]


@pytest.mark.parametrize(
    ("gpus", "device", "valid"), [(0, "cpu", True), (0, "cuda", False), (1, "cuda", True), (1, "cpu", False)]
)
def test_the_device_must_be_what_the_job_asks_the_node_for(gpus: int, device: str, valid: bool) -> None:
    config = {"TRAIN": {"DATASETS": ["a_train"], "BATCH_SIZE": 8}, "MISC": {"DEVICE": device}}
    review = check(gpusPerNode=gpus, procsPerNode=None, config=config)
    assert list(problems(review)) == ([] if valid else ["MISC.DEVICE"])


def test_overrides_win_over_the_configuration_and_are_checked_like_it() -> None:
    review = check(
        overrides={"TRAIN.BATCH_SIZE": 10, "SOLVER.OPTIMIZER.BASE_LR": "1e-3"}, scriptArgs=["MISC.SEED", "5"]
    )
    assert review.cfg is not None
    assert (review.cfg.TRAIN.BATCH_SIZE, review.cfg.SOLVER.OPTIMIZER.BASE_LR, review.cfg.MISC.SEED) == (10, 1e-3, 5)
    found = problems(check(overrides={"TRAIN.BATCH": 10}, scriptArgs=["MISC.SEED", "x"]))
    assert found == {
        "MISC.SEED": "'x' is not a whole number; the default is 0 (spec.overrides)",
        "TRAIN.BATCH": "no such key, did you mean TRAIN.BATCH_SIZE? (spec.overrides)",
    }


def test_the_arguments_of_a_scripts_own_option_are_not_judged_as_keys() -> None:
    assert check(scriptArgs=["--dump", "file"]).valid


def test_an_override_without_a_key_is_named() -> None:
    assert problems(check(overrides={"": 1}))["spec.overrides"].startswith("gives '1' to a key without a name")


def test_an_override_does_not_stay_behind_its_own_value_for_the_launcher() -> None:
    assert problems(check(overrides={"MISC.CKPT": "x"})) == {
        "spec.overrides.MISC.CKPT": "is set by the operator; say where checkpoints go with spec.checkpoint.path"
    }


@pytest.mark.parametrize(("keep", "warned"), [(None, False), (5, False), (4, True)])
def test_the_job_decides_how_many_checkpoints_are_kept(keep: int | None, warned: bool) -> None:
    config = changed(SOLVER={"SNAPSHOT_KEEP": 5})
    review = check(config=config, checkpoint={"volume": {"size": "1Gi"}, "keep": keep})
    assert [warning.message for warning in review.warnings] == (
        ["5 has no effect: spec.checkpoint.keep 4 counts in a job; leave it out"] if warned else []
    )


@pytest.mark.parametrize(("resume", "warned"), [("Auto", True), ("Never", False), ("other/model_iter7.pth", False)])
def test_a_configuration_that_forbids_what_the_job_says_of_resuming_is_warned_of(resume: str, warned: bool) -> None:
    config = changed(TRAIN=VALID_CONFIG["TRAIN"] | {"AUTO_RESUME": False})
    review = check(config=config, checkpoint={"volume": {"size": "1Gi"}, "resume": resume})
    assert reasons(review) == (["ResumeOff"] if warned else [])


def test_a_checkpoint_folder_in_the_configuration_is_ignored_with_a_warning() -> None:
    config = {"TRAIN": {"DATASETS": ["a_train"], "BATCH_SIZE": 8}, "MISC": {"DEVICE": "cpu", "CKPT": "mine"}}
    assert reasons(check(config=config)) == ["CkptIgnored"]


@pytest.mark.parametrize(("nodes", "loss"), [(1, "they go when its pod goes"), (2, "each restart begins at step 1")])
def test_checkpoints_without_a_volume_are_warned_of(nodes: int, loss: str) -> None:
    review = check(nodes=nodes, checkpoint=None)
    assert review.valid
    assert reasons(review) == ["NotPersistent"]
    assert loss in review.warnings[0].message


def test_a_run_on_this_machine_is_told_nothing_of_what_only_a_cluster_has() -> None:
    for checkpoint in (None, {"volume": {"claimName": "c"}, "onDelete": "Delete"}, {"resume": "other/model_iter3.pth"}):
        review = check_manifest(manifest(checkpoint=checkpoint), SCRIPTS, local=True)
        assert (review.problems, review.warnings) == ((), ())
    assert list(problems(check(checkpoint={"resume": "other"}))) == ["spec.checkpoint.resume"]


@pytest.mark.parametrize(
    ("overrides", "field", "message"),
    [
        (
            {"MODEL.BACKBONE": "resnet51"},
            "MODEL.BACKBONE",
            "'resnet51' is no backbone of the stock image; did you",
        ),
        ({"MODEL.BACKBONE": "vit"}, "MODEL.BACKBONE", "there are resnet101, resnet152, resnet18"),
        ({"TRAIN.DATASETS": [""]}, "TRAIN.DATASETS", "'' must be <name>_train, <name>_val or <name>_test"),
        ({"TRAIN.DATASETS": ["_train"]}, "TRAIN.DATASETS", "'_train' must be <name>_train"),
        ({"TEST.DATASETS": ["mnist"]}, "TEST.DATASETS", "'mnist' must be <name>_train"),
    ],
)
def test_what_the_stock_image_does_not_have_is_refused_and_left_to_another_one(
    overrides: dict[str, Any], field: str, message: str
) -> None:
    [problem] = check(overrides=overrides).problems
    assert problem.field == field
    assert message in problem.message
    assert check(overrides=overrides, image="mine").valid


def test_on_delete_of_a_claim_that_is_not_ours_is_warned_of() -> None:
    assert reasons(check(checkpoint={"volume": {"claimName": "c"}, "onDelete": "Delete"})) == ["ClaimNotOurs"]


def test_a_misspelt_task_that_the_tutorial_taught_is_warned_of() -> None:
    review = check_manifest(manifest(cfg="cfgs/tasks/instanse/a.yaml"), ["tools/tasks/instance/train_net.py"])
    assert review.valid
    assert reasons(review) == ["ScriptAlias"]


def test_without_an_embedded_configuration_the_images_own_file_is_checked() -> None:
    files = {"cfgs/tasks/cls/a.yaml": "TRAIN: {DATASETS: [a_train], BATCH_SIZE: 7}\nMISC: {DEVICE: cpu, CKPT: stock}"}
    review = check_manifest(manifest(config=None), SCRIPTS, read_cfg=files.get)
    assert list(problems(review)) == ["TRAIN.BATCH_SIZE"]


def test_a_file_that_the_image_does_not_hold_is_refused_with_a_near_one() -> None:
    review = check(config=None, cfg="cfgs/tasks/cls/FashionMNIST/slim_resnet.yaml")
    message = problems(review)["spec.cfg"]
    assert "the trainer image has no file" in message
    assert "embed the configuration as spec.config" in message
    assert "did you mean cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml?" in message


def test_the_stock_file_is_found_by_its_normalised_path() -> None:
    assert check(config=None, cfg="./cfgs/tasks/cls/../cls/FashionMNIST/slim_resnet_1x.yaml").valid


def test_a_file_outside_the_image_is_left_to_the_launcher() -> None:
    review = check(config=None, cfg="/data/cfgs/tasks/cls/a.yaml")
    assert review.valid
    assert reasons(review) == ["ConfigNotChecked"]


def test_what_only_a_foreign_image_may_know_is_left_to_its_launcher() -> None:
    config = {"MODEL": {"NEW": 1}, "TRAIN": {"DATASETS": ["a_train"], "BATCH_SIZE": 8}, "MISC": {"DEVICE": "cpu"}}
    review = check(image="mine", cfg="cfgs/projects/mine/a.yaml", config=config)
    assert review.valid
    assert reasons(review) == ["NotCheckedForeignImage", "KeyNotChecked"]
    review = check(image="mine", config=None)
    assert review.valid
    assert reasons(review) == ["ConfigNotChecked"]


def test_what_is_known_is_checked_in_a_foreign_image_too() -> None:
    config = {"TRAIN": {"DATASETS": ["a_train"], "BATCH_SIZE": "many"}, "MISC": {"DEVICE": "cpu"}}
    assert list(problems(check(image="mine", config=config))) == ["TRAIN.BATCH_SIZE"]


def test_an_image_that_is_known_to_be_stock_is_checked_fully() -> None:
    review = check_manifest(manifest(image="stock", config={"NEW": 1}), SCRIPTS, foreign_image=False)
    assert "NEW" in problems(review)


def test_a_file_of_several_jobs_gives_a_review_for_each() -> None:
    text = yaml.safe_dump_all([manifest("one"), {"kind": "Pod"}, manifest("three", nodes=0)])
    reviews = check_text(text, "jobs.yaml", SCRIPTS)
    assert [review.valid for review in reviews] == [True, False, False]
    assert [review.job.name if review.job else None for review in reviews] == ["one", None, "three"]


@pytest.mark.parametrize("text", ["", "a: ["])
def test_a_file_without_a_job_is_one_invalid_review(text: str) -> None:
    [review] = check_text(text, "jobs.yaml")
    assert [problem.field for problem in review.problems] == ["jobs.yaml"]


def test_a_number_is_read_as_kubectl_reads_it_or_not_at_all() -> None:
    volume = {"name": "scripts", "configMap": {"name": "scripts", "defaultMode": 123}}
    text = yaml.safe_dump(manifest(template={"spec": {"volumes": [volume]}}, restart={"maxRestarts": 321}))
    [review] = check_text(text.replace("123", "0755").replace("321", "010"), "jobs.yaml", SCRIPTS)
    assert list(problems(review)) == ["spec.restart.maxRestarts"]
    assert review.job is not None
    assert review.job.spec.template["spec"]["volumes"][0]["configMap"]["defaultMode"] == 0o755


def test_a_field_that_is_written_twice_is_reported_beside_all_other_problems() -> None:
    text = yaml.safe_dump(manifest(nodes=0)) + "kind: PetTrainingJob\n"
    [review] = check_text(text, "jobs.yaml", SCRIPTS)
    assert list(problems(review)) == ["kind", "spec.nodes"]
