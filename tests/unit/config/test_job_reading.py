"""From a manifest to a PetTrainingJob: defaults, every field, and everything that can be wrong with one."""

from __future__ import annotations

import copy
import functools
import json
import math
from typing import Any

import pytest
import yaml
from harness.jobs import manifest
from hypothesis import given
from hypothesis import strategies as st

from pet.config import ConfigError, get_base_cfg
from pet.config.job import (
    Checkpoint,
    CheckpointVolume,
    DataVolume,
    Deadlines,
    JobSpec,
    Metrics,
    PetTrainingJob,
    Restart,
    SharedMemory,
    parse_job,
    read_job,
    read_jobs,
)
from pet.launch.options import parse_options


def problems_of(content: object) -> dict[str, str]:
    """Field and message of everything that is wrong with a manifest."""
    with pytest.raises(ConfigError) as caught:
        read_job(content)
    return {problem.field: problem.message for problem in caught.value.problems}


def test_a_job_with_nothing_but_a_configuration_has_the_documented_defaults() -> None:
    job = read_job(manifest())
    assert job == PetTrainingJob("job", JobSpec(cfg="cfgs/tasks/cls/a.yaml", checkpoint=Checkpoint(path="job")))
    spec = job.spec
    assert (spec.nodes, spec.gpus_per_node, spec.ranks_per_node, spec.world_size) == (1, 1, 1, 1)
    assert (spec.restart, spec.metrics) == (Restart(3, 3600), Metrics(9400, False))
    assert spec.deadlines == Deadlines(active_seconds=None, startup_seconds=600, stall_seconds=None)
    assert (spec.clean_pods, spec.gpu_resource, spec.checkpoint.on_delete) == ("Running", "nvidia.com/gpu", "Retain")


def test_every_field_is_read() -> None:
    content = manifest(
        type="tasks",
        config="MISC: {SEED: 1}",
        overrides={
            "SOLVER.OPTIMIZER.BASE_LR": 0.01,
            "TRAIN.DATASETS": ["a"],
            "MISC.CUDNN": True,
            "TRAIN.WEIGHTS": "w.pth",
        },
        scriptArgs=["MISC.SEED", "3"],
        image="registry/image:1",
        nodes=2,
        gpusPerNode=8,
        gpuResource="amd.com/gpu",
        template={"spec": {"containers": [{"name": "trainer", "env": [{"name": "NCCL_DEBUG", "value": "INFO"}]}]}},
        sharedMemory={"size": "16Gi"},
        data={"claimName": "coco", "path": "2017/./train", "readOnly": False},
        checkpoint={
            "volume": {"size": "100Gi", "storageClassName": "nfs", "accessModes": ["ReadWriteMany"]},
            "path": "vision//faster",
            "keep": 0,
            "resume": "other/model_iter7.pth",
            "gracePeriodSeconds": 60,
            "onDelete": "Delete",
        },
        suspend=True,
        restart={"maxRestarts": 0, "windowSeconds": 60},
        deadlines={"activeSeconds": 3600, "startupSeconds": 60, "stallSeconds": 90},
        ttlSecondsAfterFinished=0,
        cleanPods="All",
        managedBy="example.com/other",
        metrics={"port": 9500, "perRank": True},
    )
    content["metadata"] |= {
        "namespace": "team",
        "uid": "u-1",
        "annotations": {"pet.dev/take-over": "u-0"},
        "labels": {},
    }
    content["status"] = {"phase": "Running"}
    assert read_job(content) == PetTrainingJob(
        name="job",
        namespace="team",
        uid="u-1",
        annotations={"pet.dev/take-over": "u-0"},
        spec=JobSpec(
            cfg="cfgs/tasks/cls/a.yaml",
            type="tasks",
            config="MISC: {SEED: 1}",
            overrides=(
                ("SOLVER.OPTIMIZER.BASE_LR", "0.01"), ("TRAIN.DATASETS", '["a"]'), ("MISC.CUDNN", "true"),
                ("TRAIN.WEIGHTS", "w.pth"),
            ),
            script_args=("MISC.SEED", "3"),
            image="registry/image:1",
            nodes=2,
            gpus_per_node=8,
            gpu_resource="amd.com/gpu",
            template=content["spec"]["template"],
            shared_memory=SharedMemory("16Gi"),
            data=DataVolume("coco", "2017/train", read_only=False),
            checkpoint=Checkpoint(
                path="vision/faster",
                volume=CheckpointVolume(size="100Gi", storage_class_name="nfs", access_modes=("ReadWriteMany",)),
                keep=0,
                resume="other/model_iter7.pth",
                grace_period_seconds=60,
                on_delete="Delete",
            ),
            suspend=True,
            restart=Restart(0, 60),
            deadlines=Deadlines(3600, 60, 90),
            ttl_seconds_after_finished=0,
            clean_pods="All",
            managed_by="example.com/other",
            metrics=Metrics(9500, True, port_given=True),
        ),
    )  # fmt: skip


def test_an_embedded_configuration_may_be_a_mapping() -> None:
    config = {"SOLVER": {"OPTIMIZER": {"BASE_LR": 0.1}}, "MISC": {"CKPT": "ü"}}
    text = read_job(manifest(config=config)).spec.config
    assert text is not None
    assert yaml.safe_load(text) == config
    assert text.index("SOLVER") < text.index("MISC")


def test_ranks_on_the_cpu_are_counted_by_procs_per_node() -> None:
    spec = read_job(manifest(nodes=3, gpusPerNode=0, procsPerNode=2)).spec
    assert (spec.ranks_per_node, spec.world_size) == (2, 6)
    assert read_job(manifest(gpusPerNode=0)).spec.world_size == 1


def test_a_null_field_is_an_absent_one() -> None:
    assert read_job(manifest(nodes=None, checkpoint=None, data=None, config=None)) == read_job(manifest())


@pytest.mark.parametrize("stall", ["auto", None])
def test_stall_seconds_auto_is_the_default(stall: str | None) -> None:
    assert read_job(manifest(deadlines={"stallSeconds": stall})).spec.deadlines.stall_seconds is None


@pytest.mark.parametrize("size", ["1Gi", "1.5Gi", "500M", ".5T", 1073741824])
def test_sizes_are_kubernetes_quantities(size: object) -> None:
    volume = read_job(manifest(checkpoint={"volume": {"size": size}})).spec.checkpoint.volume
    assert volume is not None
    assert volume.size == str(size)


INVALID_SPECS: list[tuple[dict[str, Any], str, str]] = [
    ({"cfg": None}, "spec.cfg", "is required"),
    ({"cfg": ""}, "spec.cfg", "is empty"),
    ({"cfg": 3}, "spec.cfg", "3 is not text"),
    ({"cfg": "/a.yaml", "config": "A: 1"}, "spec.cfg", "give a relative path that stays below the root"),
    ({"cfg": "cfgs/../../a.yaml", "config": "A: 1"}, "spec.cfg", "give a relative path that stays below the root"),
    ({"config": ["A"]}, "spec.config", "is not a configuration; give a mapping of sections"),
    ({"node": 2}, "spec.node", "no such field, did you mean nodes?"),
    ({"scheduling": {"queue": "a"}}, "spec.scheduling", "no such field"),
    ({"nodes": 0}, "spec.nodes", "0 is not a whole number from 1 to 10000"),
    ({"nodes": "two"}, "spec.nodes", "'two' is not a whole number from 1 to 10000"),
    ({"nodes": True}, "spec.nodes", "True is not a whole number"),
    ({"nodes": 1.5}, "spec.nodes", "1.5 is not a whole number"),
    ({"nodes": 10**30}, "spec.nodes", "is not a whole number from 1 to 10000"),
    ({"gpusPerNode": 10**6}, "spec.gpusPerNode", "1000000 is not a whole number from 0 to 1024"),
    ({"gpusPerNode": 0, "procsPerNode": 10**6}, "spec.procsPerNode", "1000000 is not a whole number from 1 to 1024"),
    ({"nodes": 16**5000}, "spec.nodes", "0x1000"),
    ({"checkpoint": {"keep": 2**31}}, "spec.checkpoint.keep", "is not a whole number from 0 to 2147483647"),
    ({"sharedMemory": {"size": "9" * 400 + "Gi"}}, "spec.sharedMemory.size", "is not a size"),
    ({"cfg": "cfgs/tasks/cls/a\0.yaml"}, "spec.cfg",
     r"'cfgs/tasks/cls/a\x00.yaml' holds the control character '\x00'; leave it out"),
    ({"image": "i\x1b[31m"}, "spec.image", r"holds the control character '\x1b'"),
    ({"data": {"claimName": "c\n"}}, "spec.data.claimName", r"holds the control character '\n'"),
    ({"scriptArgs": ["--dump", "a\0"]}, "spec.scriptArgs[1]", r"holds the control character '\x00'"),
    ({"scriptArgs": ["\ud800"]}, "spec.scriptArgs[0]", r"holds the control character '\ud800'"),
    ({"overrides": {"TRAIN.WEIGHTS": "a\0"}}, "spec.overrides.TRAIN.WEIGHTS", r"the control character '\x00'"),
    ({"overrides": {"MISC.\0": 1}}, "spec.overrides.MISC.\0", r"the control character '\x00'"),
    ({"gpusPerNode": -1}, "spec.gpusPerNode", "-1 is not a whole number from 0 to 1024"),
    ({"procsPerNode": 2}, "spec.procsPerNode", "it needs gpusPerNode: 0"),
    ({"gpusPerNode": 0, "procsPerNode": 0}, "spec.procsPerNode", "0 is not a whole number from 1 to 1024"),
    ({"suspend": "yes"}, "spec.suspend", "'yes' is not true or false"),
    ({"overrides": ["A"]}, "spec.overrides", "is not a mapping"),
    ({"overrides": {"MISC.CKPT": "x"}}, "spec.overrides.MISC.CKPT", "spec.checkpoint.path"),
    ({"scriptArgs": "a b"}, "spec.scriptArgs", "'a b' is not a list"),
    ({"scriptArgs": [3]}, "spec.scriptArgs[0]", "3 is not text; put it in quotes"),
    ({"scriptArgs": ["--cfg=x.yaml"]}, "spec.scriptArgs[0]", "--cfg is the launcher's; use spec.cfg"),
    ({"scriptArgs": ["MISC.CKPT", "x"]}, "spec.scriptArgs[0]", "use spec.checkpoint.path"),
    ({"scriptArgs": ["--script", "x"]}, "spec.scriptArgs[0]", "--script is the launcher's; use spec.type"),
    ({"scriptArgs": ["MISC.SEED", "1", "-h"]}, "spec.scriptArgs[2]", "-h prints a help text and trains nothing"),
    ({"scriptArgs": ["--"]}, "spec.scriptArgs[0]", "-- would hide spec.overrides from the launcher; leave it out"),
    ({"scriptArgs": ["--dump", "--help"]}, "spec.scriptArgs[1]", "--help prints a help text and trains nothing"),
    ({"scriptArgs": ["-hx"]}, "spec.scriptArgs[0]", "-hx prints a help text and trains nothing"),
    ({"overrides": {"--help": 1}, "image": "mine"}, "spec.overrides.--help", "is an option, and overrides are for"),
    ({"template": []}, "spec.template", "[] is not a mapping"),
    ({"template": {"containers": []}}, "spec.template.containers", "no such field"),
    ({"template": {"spec": {"containers": {}}}}, "spec.template.spec.containers", "{} is not a list"),
    ({"template": {"metadata": {"labels": []}}}, "spec.template.metadata.labels", "[] is not a mapping"),
    ({"template": {"spec": {"volumes": [{}, "a"]}}}, "spec.template.spec.volumes[1]", "'a' is not a mapping"),
    ({"template": {"spec": {"containers": [None]}}}, "spec.template.spec.containers[0]", "null is not a mapping"),
    ({"template": {"spec": {"containers": [{"volumeMounts": 5}]}}}, "spec.template.spec.containers[0].volumeMounts",
     "5 is not a list"),
    ({"template": {"spec": {"containers": [{"resources": {"limits": 5}}]}}},
     "spec.template.spec.containers[0].resources.limits", "5 is not a mapping"),
    ({"template": {"spec": {"containers": False}}}, "spec.template.spec.containers", "False is not a list"),
    ({"template": {"spec": {"containers": [{"env": {}}]}}}, "spec.template.spec.containers[0].env", "{} is not a list"),
    ({"sharedMemory": {"size": "big"}}, "spec.sharedMemory.size", "for example 16Gi"),
    ({"sharedMemory": {"size": "0Gi"}}, "spec.sharedMemory.size", "a number above 0"),
    ({"sharedMemory": {"size": "1Gi", "disabled": True}}, "spec.sharedMemory.size", "exclude each other"),
    ({"data": {}}, "spec.data.claimName", "is required"),
    ({"data": {"claimName": "c", "path": "../x"}}, "spec.data.path", "holds '..'"),
    ({"data": {"claimName": "c", "path": "/x"}}, "spec.data.path", "is absolute"),
    ({"checkpoint": {"path": "/x"}}, "spec.checkpoint.path", "is absolute; give a path relative to the volume's root"),
    ({"checkpoint": {"path": "a/../b"}}, "spec.checkpoint.path", "holds '..'"),
    ({"checkpoint": {"path": "."}}, "spec.checkpoint.path", "names no folder"),
    ({"checkpoint": {"keep": 1}}, "spec.checkpoint.keep", "give at least 2, or 0 to keep all"),
    ({"checkpoint": {"gracePeriodSeconds": 0}}, "spec.checkpoint.gracePeriodSeconds", "at least 1"),
    ({"checkpoint": {"onDelete": "retain"}}, "spec.checkpoint.onDelete", "did you mean Retain?"),
    ({"checkpoint": {"resume": "auto"}}, "spec.checkpoint.resume", "write Auto"),
    ({"checkpoint": {"resume": "/x"}}, "spec.checkpoint.resume", "is absolute"),
    ({"checkpoint": {"resume": "other"}}, "spec.checkpoint.resume", "add spec.checkpoint.volume"),
    ({"checkpoint": {"resume": "job/model_iter1.pth", "volume": {"claimName": "c"}}},
     "spec.checkpoint.resume", "own folder"),
    ({"checkpoint": {"volume": {}}}, "spec.checkpoint.volume", "needs one of claimName"),
    ({"checkpoint": {"volume": {"claimName": "c", "size": "1Gi"}}}, "spec.checkpoint.volume", "needs one of claimName"),
    ({"checkpoint": {"volume": {"claimName": "c", "accessModes": ["ReadWriteOnce"]}}},
     "spec.checkpoint.volume.claimName", "are for a new one"),
    ({"checkpoint": {"volume": {"size": "1Gi", "accessModes": ["ReadOnlyMany"]}}}, "spec.checkpoint.volume.accessModes",
     "ReadOnlyMany cannot be written to"),
    ({"nodes": 2, "checkpoint": {"volume": {"size": "1Gi", "accessModes": ["ReadWriteOnce"]}}},
     "spec.checkpoint.volume.accessModes", "cannot be mounted on 2 nodes; give ReadWriteMany"),
    ({"restart": {"maxRestarts": -1}}, "spec.restart.maxRestarts", "at least 0"),
    ({"deadlines": {"stallSeconds": "never"}}, "spec.deadlines.stallSeconds", "'never' is not a whole number"),
    ({"deadlines": {"activeSeconds": 0}}, "spec.deadlines.activeSeconds", "at least 1"),
    ({"ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished", "at least 0"),
    ({"cleanPods": "Never"}, "spec.cleanPods", "'Never' is none of None, Running, All"),
    ({"metrics": {"port": 70000}}, "spec.metrics.port", "70000 is not a whole number from 1 to 65535"),
    ({"metrics": {"port": 29500}}, "spec.metrics.port", "29500 is where launchers of several pods meet; give another"),
    ({"metrics": {"perrank": True}}, "spec.metrics.perrank", "did you mean perRank?"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "field", "message"), INVALID_SPECS)
def test_a_wrong_field_is_named_with_its_value_and_what_would_be_right(
    spec: dict[str, Any], field: str, message: str
) -> None:
    found = problems_of(manifest(**spec))
    assert list(found) == [field]
    assert message in found[field]


@pytest.mark.parametrize(
    ("metadata", "field", "message"),
    [
        ({}, "metadata.name", "is required"),
        ({"generateName": "a-"}, "metadata.generateName", "give metadata.name"),
        ({"name": 3}, "metadata.name", "3 is not text"),
        ({"name": "a" * 51}, "metadata.name", "has 51 characters; at most 50 are allowed"),
        ({"name": "1a"}, "metadata.name", "is not a DNS label"),
        ({"name": "a-"}, "metadata.name", "is not a DNS label"),
        ({"name": "A"}, "metadata.name", "is not a DNS label"),
        ({"name": "a.b"}, "metadata.name", "is not a DNS label"),
        ({"name": "a\n"}, "metadata.name", "holds the control character '\\n'; leave it out"),
        ({"name": "a", "annotations": {"x": 3}}, "metadata.annotations.x", "3 is not text; put it in quotes"),
        ({"name": "a", "labels": {"x": True}}, "metadata.labels.x", "True is not text; put it in quotes"),
        ({"name": "a", "labels": []}, "metadata.labels", "[] is not a mapping"),
    ],
)
def test_a_wrong_name_is_refused_never_cut(metadata: dict[str, Any], field: str, message: str) -> None:
    found = problems_of(manifest() | {"metadata": metadata})
    assert list(found) == [field]
    assert message in found[field]


def test_a_name_of_fifty_characters_is_right() -> None:
    assert read_job(manifest("a" * 50)).name == "a" * 50


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "MASTER_PORT", "PET_NNODES", "PETJOB_ANYTHING"])
def test_a_reserved_environment_name_is_refused_in_every_container(kind: str, name: str) -> None:
    containers = [{"name": "a"}, {"name": "b", "env": [{"name": "FREE"}, {"name": name, "value": "1"}]}]
    found = problems_of(manifest(template={"spec": {kind: containers}}))
    assert list(found) == [f"spec.template.spec.{kind}[1].env[1].name"]
    assert f"{name} is reserved" in next(iter(found.values()))


OVERRULED: list[tuple[str, dict[str, Any], str]] = [
    ("metadata.name", {"metadata": {"name": "x"}}, "leave it out"),
    ("metadata.finalizers", {"metadata": {"finalizers": ["a/b"]}}, "leave it out"),
    ("spec.hostname", {"spec": {"hostname": "x"}}, "leave it out"),
    ("spec.restartPolicy", {"spec": {"restartPolicy": "OnFailure"}}, "spec.restart"),
    ("spec.enableServiceLinks", {"spec": {"enableServiceLinks": True}}, "leave it out"),
    ("spec.terminationGracePeriodSeconds", {"spec": {"terminationGracePeriodSeconds": 900}},
     "give spec.checkpoint.gracePeriodSeconds"),
    ("spec.containers[1].image", {"spec": {"containers": [{"name": "logs", "image": "a"},
                                                          {"name": "trainer", "image": "mine:1"}]}}, "give spec.image"),
    ("spec.containers[0].command", {"spec": {"containers": [{"name": "trainer", "command": ["bash"]}]}},
     "spec.scriptArgs"),
    ("spec.containers[0].restartPolicy", {"spec": {"containers": [{"name": "trainer", "restartPolicy": "Always"}]}},
     "spec.restart"),
    ("spec.containers[0].restartPolicyRules",
     {"spec": {"containers": [{"name": "trainer", "restartPolicyRules": [{"action": "Restart"}]}]}}, "spec.restart"),
    ("spec.containers[0].args", {"spec": {"containers": [{"name": "trainer", "args": ["a"]}]}}, "spec.scriptArgs"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "template", "remedy"), OVERRULED, ids=[field for field, *_ in OVERRULED])
def test_what_a_template_cannot_say_is_refused_with_where_to_say_it(
    field: str, template: dict[str, Any], remedy: str
) -> None:
    ((where, words),) = problems_of(manifest(template=template)).items()
    assert where == f"spec.template.{field}"
    assert words.startswith("has no effect: ")
    assert remedy in words


def mount(path: str, at: int = 0) -> dict[str, Any]:
    others = [{"name": "mine", "mountPath": f"/other/{index}"} for index in range(at)]
    trainer = {"name": "trainer", "volumeMounts": [*others, {"name": "mine", "mountPath": path, "subPath": "x"}]}
    beside = {"name": "logs", "volumeMounts": [{"name": "mine", "mountPath": path}]}
    return {"spec": {"containers": [beside, trainer]}}


@pytest.mark.parametrize(
    ("spec", "path", "remedy"),
    [
        ({}, "/checkpoints", "give spec.checkpoint.volume"),
        ({"nodes": 2}, "/checkpoints/", "give spec.checkpoint.volume"),
        ({"data": {"claimName": "coco"}}, "/data", "give the claim in spec.data, or leave spec.data out"),
        ({"config": "A: 1"}, "/etc/./pet", "choose another place"),
    ],
)
def test_a_volume_where_the_operator_mounts_its_own_is_refused(spec: dict[str, Any], path: str, remedy: str) -> None:
    ((where, words),) = problems_of(manifest(template=mount(path, at=1), **spec)).items()
    assert where == "spec.template.spec.containers[1].volumeMounts[1].mountPath"
    assert "has no effect: the operator mounts a volume there; " in words
    assert words.endswith(remedy)


@pytest.mark.parametrize("path", ["/data", "/etc/pet", "/dev/shm", "/checkpoints/tensorboard", "/mine"])
def test_a_volume_anywhere_else_is_the_user_s_own(path: str) -> None:
    assert read_job(manifest(template=mount(path))).spec.template == mount(path)


def test_a_volume_with_the_name_of_one_of_the_operator_s_is_refused() -> None:
    volumes = [{"name": "mine", "emptyDir": {}}, {"name": "pet-checkpoints", "hostPath": {"path": "/scratch"}}]
    ((where, words),) = problems_of(manifest(template={"spec": {"volumes": volumes}})).items()
    assert where == "spec.template.spec.volumes[1].name"
    assert words == ("pet-checkpoints has no effect: the operator calls a volume of its own so; choose another name")


def test_what_a_template_says_as_it_is_anyway_is_no_matter() -> None:
    spec = {"restartPolicy": "Never", "enableServiceLinks": False, "hostname": None}
    containers = [{"name": "logs", "image": "logs:1", "command": ["a"], "args": ["b"]}]
    inits = [{"name": "trainer", "image": "fetch:1"}]
    template = {"metadata": {"finalizers": []}, "spec": {**spec, "containers": containers, "initContainers": inits}}
    assert read_job(manifest(template=template)).spec.template == template


def test_an_environment_that_is_no_list_of_names_is_refused() -> None:
    template = {"spec": {"containers": [{"env": {"A": "1"}}, {"env": ["A"]}, "trainer"]}}
    found = problems_of(manifest(template=template))
    assert list(found) == [
        "spec.template.spec.containers[0].env",
        "spec.template.spec.containers[1].env[0]",
        "spec.template.spec.containers[2]",
    ]


def test_everything_that_is_wrong_is_reported_at_once() -> None:
    found = problems_of(manifest("A", nodes=0, cfg=None, cleanPods="x", metrics={"port": 0}))
    assert set(found) == {"metadata.name", "spec.nodes", "spec.cfg", "spec.cleanPods", "spec.metrics.port"}


@pytest.mark.parametrize("content", [None, "text", 3, ["a"]])
def test_what_is_no_mapping_is_no_manifest(content: object) -> None:
    assert "is not a manifest" in problems_of(content)[""]


def test_another_kind_is_refused_alone() -> None:
    found = problems_of({"apiVersion": "v1", "kind": "ConfigMap", "data": {}})
    assert found == {"kind": "ConfigMap of v1 is no training job; give kind: PetTrainingJob and apiVersion: pet.dev/v1"}


def test_a_manifest_without_a_spec_or_with_unknown_parts_is_refused() -> None:
    content = manifest() | {"specs": {}}
    del content["spec"]
    assert {"spec", "specs"} == set(problems_of(content))


def test_several_documents_give_several_jobs() -> None:
    text = "---\n" + yaml.safe_dump_all([manifest("one"), manifest("two", nodes=2)]) + "---\n"
    assert [(job.name, job.spec.nodes) for job in read_jobs(text)] == [("one", 1), ("two", 2)]


def test_the_problems_of_all_documents_are_reported_at_once() -> None:
    text = yaml.safe_dump_all([manifest("one", nodes=0), {"kind": "Pod"}, manifest("three", type=3)])
    with pytest.raises(ConfigError) as caught:
        read_jobs(text)
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["document 1: spec.nodes", "document 2: kind", "document 3: spec.type"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n"])
def test_a_file_without_documents_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="holds no document"):
        read_jobs(text)


@pytest.mark.parametrize("text", ["a: [", "spec: &a {b: *a}", "? [a, b]\n: c", "a: !!bool maybe", 'a: !!int ""'])
def test_a_file_that_is_no_yaml_or_that_json_cannot_say_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not valid YAML|is YAML, but not a manifest"):
        read_jobs(text)


def test_aliases_that_unfold_to_more_than_a_machine_holds_are_refused() -> None:
    levels = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 20)]
    with pytest.raises(ConfigError, match=r"^file: has more than 10,000,000 characters once its aliases are"):
        read_jobs("\n".join(["a0: &a0 [x]", *levels]))
    few = yaml.safe_dump(manifest(config={"TRAIN": (sets := {"DATASETS": ["a"]}), "TEST": sets}))
    assert "*id001" in few
    assert read_jobs(few)


def test_a_number_that_no_cluster_takes_is_refused_with_its_place() -> None:
    clipping = {"SOLVER": {"OPTIMIZER": {"CLIP_GRADIENTS": {"NORM_TYPE": math.inf}}}}
    text = yaml.safe_dump(manifest(config=clipping, template={"spec": {"priority": math.nan}}))
    with pytest.raises(ConfigError) as caught:
        read_jobs(text)
    assert [problem.field for problem in caught.value.problems] == [
        "spec.config.SOLVER.OPTIMIZER.CLIP_GRADIENTS.NORM_TYPE", "spec.template.spec.priority",
    ]  # fmt: skip
    assert caught.value.problems[0].message.startswith(".inf is no number in JSON")
    assert read_jobs(text.replace(".inf", '"Infinity"').replace(".nan", "1"))


def test_a_field_that_is_written_twice_is_refused() -> None:
    text = yaml.safe_dump(manifest(nodes=2)) + "kind: PetTrainingJob\n"
    with pytest.raises(ConfigError, match="kind: is written twice, in lines"):
        read_jobs(text)


def test_the_hash_follows_what_may_not_change_while_a_job_runs() -> None:
    base = read_job(manifest()).spec.hash
    assert len(base) == 16
    for editable in ({"suspend": True}, {"ttlSecondsAfterFinished": 1}, {"deadlines": {"stallSeconds": 9}},
                     {"restart": {"maxRestarts": 9}}, {"cleanPods": "All"}, {"checkpoint": {"keep": 9}}):  # fmt: skip
        assert read_job(manifest(**editable)).spec.hash == base
    for fixed in ({"nodes": 2}, {"overrides": {"MISC.SEED": 1}}, {"config": "MISC: {SEED: 1}"}, {"image": "x"},
                  {"template": {"spec": {"nodeName": "a"}}}, {"checkpoint": {"path": "x"}}):  # fmt: skip
        assert read_job(manifest(**fixed)).spec.hash != base


@pytest.mark.parametrize("text", ["--help", "-h", "-hx", "--", "--nproc=7", "--cfg", "-old.pth", "-'\"\\"])
def test_the_value_of_an_override_is_never_an_option_of_the_launcher(text: str) -> None:
    arguments = read_job(manifest(overrides={"TRAIN.WEIGHTS": text})).spec.override_args
    options = parse_options(["--cfg", "cfgs/tasks/cls/a.yaml", *arguments])
    assert (options.rest, options.nproc) == (arguments, None)
    cfg = get_base_cfg("cls")
    cfg.merge_from_list(options.overrides)
    assert text == cfg.TRAIN.WEIGHTS


def test_a_configuration_that_is_nested_too_deep_is_refused() -> None:
    hook = {"type": "a:b", "args": functools.reduce(lambda inner, _: {"a": inner}, range(400), {"a": 1})}
    text = json.dumps(manifest(config={"TRAIN": {"HOOKS": [hook]}}))
    with pytest.raises(ConfigError, match=r"^spec\.config: is nested too deep"):
        read_jobs(text)


def test_arguments_and_overrides_may_have_several_lines() -> None:
    spec = read_job(manifest(scriptArgs=["a\n\tb"], overrides={"TRAIN.HOOKS": "[\n]"})).spec
    assert (spec.script_args, spec.overrides) == (("a\n\tb",), (("TRAIN.HOOKS", "[\n]"),))


def test_reading_leaves_the_manifest_as_it_was() -> None:
    content = manifest(config={"A": 1}, template={"spec": {"containers": [{"env": None}]}})
    before = copy.deepcopy(content)
    read_job(content)
    assert content == before


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "cfg", "type", "config", "overrides", "scriptArgs", "image", "nodes", "gpusPerNode", "procsPerNode", "gpuResource",
    "template", "sharedMemory", "data", "checkpoint", "suspend", "restart", "deadlines", "ttlSecondsAfterFinished",
    "cleanPods", "managedBy", "metrics",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), json_values), json_values)
def test_any_json_is_read_or_refused_by_field(spec: dict[str, Any], metadata: object) -> None:
    job, problems = parse_job(manifest(**spec) | {"metadata": metadata})
    assert job is not None
    assert all(problem.field.startswith(("spec", "metadata")) and problem.message for problem in problems)


def test_the_fields_that_there_are_are_listed_once_and_in_order() -> None:
    _, problems = parse_job(manifest(zzz=1))
    [message] = [problem.message for problem in problems]
    listed = message.removeprefix("no such field; there are ").split(", ")
    assert (listed, "overrides" in listed) == (sorted(set(listed)), True)
