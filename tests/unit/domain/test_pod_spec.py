"""The spec of a trainer's pod: the operator's decisions over the user's template."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.observing import SCRIPT, SITE, job
from hypothesis import given
from hypothesis import strategies as st

from pet.config.job import parse_job
from pet_operator.domain import manifests
from pet_operator.domain.quantity import read_bytes, shared_memory_size
from pet_operator.domain.template import overlay

GI = 1024**3
SHM_DEFAULT = {"name": "pet-shm", "emptyDir": {"medium": "Memory", "sizeLimit": "64Gi"}}


def spec_of(node_index: int = 0, **spec: Any) -> dict[str, Any]:
    return dict(manifests.pod(job(**spec), SITE, SCRIPT, 1, node_index, 3).manifest["spec"])


def container_of(**spec: Any) -> dict[str, Any]:
    (container,) = (each for each in spec_of(**spec)["containers"] if each["name"] == "trainer")
    return dict(container)


def with_trainer(**container: Any) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [{"name": "trainer", **container}]}}}


def test_a_pod_without_a_template() -> None:
    spec = spec_of(3, nodes=4, checkpoint={"gracePeriodSeconds": 300})
    container = spec["containers"][0]
    del container["env"]
    assert spec == {
        "hostname": "job-3",
        "subdomain": "job",
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 300,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, "fsGroupChangePolicy": "OnRootMismatch"},
        "tolerations": [
            {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}
            for key in ("not-ready", "unreachable")
        ],
        "volumes": [SHM_DEFAULT],
        "containers": [container],
    }
    assert container == {
        "name": "trainer",
        "image": "trainer:stock",
        "command": ["python", "-u", "tools/train_net_all.py"],
        "args": ["--cfg", "cfgs/tasks/cls/a.yaml"],
        "ports": [{"name": "metrics", "containerPort": 9400}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "pet-shm", "mountPath": "/dev/shm"}],
    }


def test_the_job_s_own_image_counts() -> None:
    assert container_of(image="mine:1")["image"] == "mine:1"


@pytest.mark.parametrize(
    ("spec", "limits"),
    [
        ({"gpusPerNode": 8}, {"nvidia.com/gpu": "8"}),
        ({"gpusPerNode": 2, "gpuResource": "amd.com/gpu"}, {"amd.com/gpu": "2"}),
        ({"gpusPerNode": 2, **with_trainer(resources={"limits": {"memory": "1Gi"}})}, None),
    ],
)
def test_a_pod_has_a_gpu_for_each_rank(spec: dict[str, Any], limits: dict[str, str] | None) -> None:
    expected = limits or {"memory": "1Gi", "nvidia.com/gpu": "2"}
    assert container_of(**spec)["resources"] == {"limits": expected}


def test_ranks_on_the_cpu_ask_for_no_gpu() -> None:
    assert "resources" not in container_of(gpusPerNode=0, procsPerNode=2)


def test_the_command_line_is_that_of_the_launcher() -> None:
    container = container_of(
        cfg="cfgs//tasks/../tasks/cls/a.yaml",
        type="tasks",
        scriptArgs=["--flag", "$(HOME)"],
        overrides={"SOLVER.LR": 0.1, "DATA.NAME": "$A $$B"},
    )
    assert container["args"] == [
        "--cfg", "cfgs/tasks/cls/a.yaml", "--type", "tasks", "--flag", "$$(HOME)",
        "SOLVER.LR", "0.1", "DATA.NAME", "$$A $$$$B",
    ]  # fmt: skip


def test_an_embedded_configuration_is_mounted_where_the_command_line_says() -> None:
    spec = spec_of(cfg="./cfgs/tasks/cls//a.yaml", config="A: 1")
    assert spec["containers"][0]["args"][:2] == ["--cfg", "/etc/pet/cfgs/tasks/cls/a.yaml"]
    (volume,) = (each for each in spec["volumes"] if each["name"] == "pet-config")
    (config_map,) = (each.manifest for each in manifests.shared(job(config="A: 1"), SCRIPT))
    assert volume["configMap"] == {
        "name": config_map["metadata"]["name"],
        "items": [{"key": next(iter(config_map["data"])), "path": "cfgs/tasks/cls/a.yaml"}],
    }
    assert {"name": "pet-config", "mountPath": "/etc/pet", "readOnly": True} in spec["containers"][0]["volumeMounts"]


@pytest.mark.parametrize(
    ("spec", "source"),
    [
        ({}, {"emptyDir": {}}),
        ({"nodes": 2}, None),
        ({"checkpoint": {"volume": {"claimName": "mine"}}}, {"persistentVolumeClaim": {"claimName": "mine"}}),
        ({"checkpoint": {"volume": {"size": "1Gi"}}}, {"persistentVolumeClaim": {"claimName": "job-checkpoints"}}),
    ],
)
def test_checkpoints_have_a_whole_volume(spec: dict[str, Any], source: dict[str, Any] | None) -> None:
    volumes = {each.pop("name"): each for each in spec_of(**spec)["volumes"]}
    assert volumes.get("pet-checkpoints") == source
    mounts = [each for each in container_of(**spec)["volumeMounts"] if each["name"] == "pet-checkpoints"]
    assert mounts == ([{"name": "pet-checkpoints", "mountPath": "/checkpoints"}] if source else [])


@pytest.mark.parametrize(
    ("data", "mount", "read_only"),
    [
        ({}, {"readOnly": True}, True),
        ({"path": "coco", "readOnly": False}, {"readOnly": False, "subPath": "coco"}, False),
    ],
)
def test_data_are_mounted_where_the_image_has_them(
    data: dict[str, Any], mount: dict[str, Any], read_only: bool
) -> None:
    spec = spec_of(data={"claimName": "coco", **data})
    claim = {"claimName": "coco", "readOnly": read_only}
    assert {"name": "pet-data", "persistentVolumeClaim": claim} in spec["volumes"]
    assert {"name": "pet-data", "mountPath": "/data", **mount} in spec["containers"][0]["volumeMounts"]


@pytest.mark.parametrize(
    ("memory", "size"),
    [
        (None, "64Gi"),
        ("16Gi", str(4 * 1024**3)),
        ("1Ti", str(64 * 1024**3)),
        ("1.5G", "375000000"),
        ("1e9", "250000000"),
        ("1E", str(64 * 1024**3)),
        (4096, "1024"),
        ("plenty", "64Gi"),
    ],
)
def test_shared_memory_is_a_quarter_of_the_memory_limit_at_most_64_gi(memory: object, size: str) -> None:
    limits = {"limits": {"memory": memory}} if memory is not None else {}
    assert shared_memory_size({"resources": limits}) == size
    (volume,) = (each for each in spec_of(**with_trainer(resources=limits))["volumes"] if each["name"] == "pet-shm")
    assert volume == {"name": "pet-shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}}


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1Ki", 1024), ("1.5Gi", 3 * 2**29), ("2Ei", 2**61), ("1E3", 1000), (".5M", 500_000), ("1.", 1)],
)
def test_quantities_of_bytes(text: str, size: int) -> None:
    assert read_bytes(text) == size


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "-1", "1GiB", "NaN", "0x10", "1e999"])
def test_what_is_no_quantity_is_left_to_the_api_server(text: str) -> None:
    assert read_bytes(text) is None


@pytest.mark.parametrize(
    ("resources", "size", "request_"),
    [
        ({"requests": {"memory": "8Gi"}, "limits": {"memory": "16Gi"}}, "", 12 * GI),
        ({"requests": {"memory": "15Gi"}, "limits": {"memory": "16Gi"}}, "", 16 * GI),
        ({"requests": {"memory": "8Gi"}, "limits": {"memory": "16Gi"}}, "2Gi", 10 * GI),
        ({"requests": {"memory": "8Gi"}}, "2Gi", 10 * GI),
        ({"requests": {"memory": "8Gi"}}, "", None),
        ({"limits": {"memory": "16Gi"}}, "2Gi", None),
        ({"requests": {"cpu": 1}}, "2Gi", None),
        ({"requests": {"memory": "junk"}, "limits": {"memory": "16Gi"}}, "", None),
        (
            {"requests": {"memory": "3Gi"}, "limits": {"memory": "2Gi"}},
            "1Gi",
            3 * GI,
        ),  # the API server says what is wrong
    ],
)
def test_shared_memory_is_asked_for_with_the_memory_of_the_container(
    resources: dict[str, Any], size: str, request_: int | None
) -> None:
    own = resources.get("requests", {}).get("memory")
    for shared, expected in (({"size": size} if size else {}, request_), ({"disabled": True}, None)):
        spec = spec_of(**with_trainer(resources=resources), sharedMemory=shared)
        asked = spec["containers"][0]["resources"].get("requests", {}).get("memory")
        assert asked == (own if expected is None else str(expected))


def test_shared_memory_is_as_the_user_wishes() -> None:
    assert spec_of(nodes=2, sharedMemory={"size": "2Gi"})["volumes"] == [
        {"name": "pet-shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}
    ]
    assert spec_of(nodes=2, sharedMemory={"disabled": True})["volumes"] == []
    mounted = with_trainer(volumeMounts=[{"name": "mine", "mountPath": "/dev/shm/"}])
    assert spec_of(nodes=2, **mounted)["volumes"] == []


def test_fields_that_the_operator_does_not_know_survive() -> None:
    theirs = {
        "priorityClassName": "research",
        "resourceClaims": [{"name": "a"}],
        "fieldOfTomorrow": {"x": [1, {"y": None}]},
        "initContainers": [{"name": "fetch", "image": "fetch:1"}],
        "containers": [
            {"name": "logs", "image": "logs:1", "env": [{"name": "A", "value": "1"}]},
            {"name": "trainer", "env": [{"name": "NCCL_DEBUG", "value": "INFO"}], "resizePolicy": [1], "lifecycle": {}},
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }
    spec = spec_of(template={"spec": theirs})
    for name in ("priorityClassName", "resourceClaims", "fieldOfTomorrow", "initContainers"):
        assert spec[name] == theirs[name]
    trainer, logs = spec["containers"]
    assert logs == theirs["containers"][0]
    assert (trainer["resizePolicy"], trainer["lifecycle"]) == ([1], {})
    assert {"name": "NCCL_DEBUG", "value": "INFO"} in trainer["env"]
    assert {"name": "scratch", "emptyDir": {}} in spec["volumes"]


def test_what_is_decided_here_is_not_the_template_s_to_say() -> None:
    """Most of it is refused, but for a job that had begun under an operator that did not."""
    theirs = {
        "hostname": "mine",
        "subdomain": "mine",
        "restartPolicy": "Always",
        "enableServiceLinks": True,
        "terminationGracePeriodSeconds": 1,
        "volumes": [{"name": "pet-checkpoints", "hostPath": {"path": "/"}}],
        "containers": [
            {
                "name": "trainer",
                "image": "mine",
                "command": ["sh"],
                "args": ["-c"],
                "volumeMounts": [{"name": "mine", "mountPath": "/checkpoints/", "subPath": "x"}],
                "resources": {"limits": {"nvidia.com/gpu": 99}},
            }
        ],
    }
    plain, accepted = spec_of(), replace(job(), spec=replace(job().spec, template={"spec": theirs}))
    spec = manifests.pod(accepted, SITE, SCRIPT, 1, 0, 3).manifest["spec"]
    assert {name: spec[name] for name in plain if name != "containers"} == {
        name: plain[name] for name in plain if name != "containers"
    } | {"volumes": spec["volumes"]}
    assert sorted(spec["volumes"], key=str) == sorted(plain["volumes"], key=str)
    ours, container = plain["containers"][0], spec["containers"][0]
    assert {name: container[name] for name in ours} == ours


def test_the_user_s_choices_about_security_win() -> None:
    pod_wide = {"runAsUser": 1000, "seccompProfile": {"type": "Unconfined"}, "fsGroupChangePolicy": "Always"}
    of_container = {"allowPrivilegeEscalation": True, "capabilities": {"add": ["IPC_LOCK"], "drop": []}}
    theirs = with_trainer(securityContext=of_container)["template"]["spec"]
    spec = spec_of(template={"spec": {**theirs, "securityContext": pod_wide, "automountServiceAccountToken": True}})
    assert spec["securityContext"] == pod_wide
    assert spec["automountServiceAccountToken"] is True
    assert spec["containers"][0]["securityContext"] == of_container


def test_what_the_user_leaves_open_about_security_stays_closed() -> None:
    spec = spec_of(**with_trainer(securityContext={"runAsNonRoot": True, "capabilities": {"add": ["IPC_LOCK"]}}))
    assert spec["containers"][0]["securityContext"] == {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"add": ["IPC_LOCK"], "drop": ["ALL"]},
    }


@pytest.mark.parametrize("theirs", [{"privileged": True}, {"capabilities": {"add": ["CAP_SYS_ADMIN"]}}])
def test_nothing_is_put_beside_privileges_that_the_api_server_refuses_together(theirs: dict[str, Any]) -> None:
    context = container_of(**with_trainer(securityContext=theirs))["securityContext"]
    assert "allowPrivilegeEscalation" not in context


NOT_READY = "node.kubernetes.io/not-ready"


@pytest.mark.parametrize(
    ("theirs", "added"),
    [
        ([{"key": "gpu", "effect": "NoSchedule"}, {"key": "gpu", "effect": "NoExecute"}], 2),
        ([{"key": NOT_READY, "operator": "Exists", "effect": "NoSchedule"}], 2),
        ([{"key": NOT_READY, "operator": "Exists", "effect": "NoExecute"}], 1),
        ([{"key": NOT_READY, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 600}], 1),
        ([{"key": NOT_READY, "operator": "Exists"}], 1),
        ([{"operator": "Exists"}], 0),
        ([{"operator": "Exists", "effect": "NoSchedule"}], 2),
    ],
)
def test_the_user_s_tolerations_stay_as_they_are(theirs: list[dict[str, Any]], added: int) -> None:
    tolerations = spec_of(template={"spec": {"tolerations": theirs}})["tolerations"]
    assert (tolerations[: len(theirs)], len(tolerations) - len(theirs)) == (theirs, added)


@pytest.mark.parametrize(
    ("base", "top", "result"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": None}, {"a": None, "b": 2}),
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "valueFrom": {}}]},
         {"env": [{"name": "A", "valueFrom": {}}]}),
        ({"env": [{"name": "B"}]}, {"env": [{"name": "A"}]}, {"env": [{"name": "B"}, {"name": "A"}]}),
        ({"ports": [{"containerPort": 1}, {"containerPort": 2}]}, {"ports": [{"name": "a"}]},
         {"ports": [{"containerPort": 1}, {"containerPort": 2}, {"name": "a"}]}),
        ({"containers": [{"name": "a", "x": 1}]}, {"containers": [{"name": "a", "y": 2}]},
         {"containers": [{"name": "a", "x": 1, "y": 2}]}),
    ],
)  # fmt: skip
def test_an_overlay(base: dict[str, Any], top: dict[str, Any], result: dict[str, Any]) -> None:
    kept = repr(base), repr(top)
    assert overlay(base, top) == result
    assert (repr(base), repr(top)) == kept


NAMES = st.sampled_from([
    "metadata", "labels", "annotations", "spec", "containers", "env", "ports", "volumes", "volumeMounts", "mountPath",
    "name", "trainer", "key", "effect", "tolerations", "securityContext", "capabilities", "add", "privileged", "limits",
    "memory", "resources", "terminationMessagePath",
])  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | NAMES | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)
TRAINER = st.dictionaries(NAMES, JUNK, max_size=3).map(lambda content: {**content, "name": "trainer"})
POD = st.dictionaries(NAMES, JUNK, max_size=4) | TRAINER.map(lambda trainer: {"containers": [trainer]})


@given(metadata=st.dictionaries(NAMES, JUNK, max_size=3), spec=POD)
def test_a_template_that_the_checks_let_pass_makes_a_pod(metadata: dict[str, Any], spec: dict[str, Any]) -> None:
    content = {"cfg": "cfgs/tasks/cls/a.yaml", "template": {"metadata": metadata, "spec": spec}}
    manifest = {"apiVersion": "pet.dev/v1", "kind": "PetTrainingJob", "metadata": {"name": "job"}, "spec": content}
    read, problems = parse_job(manifest)
    if read is not None and not problems:
        manifests.pod(read, SITE, SCRIPT, 1, 0, 3)
