"""What a pod's container finds: its volumes, its variables, and the places of its image."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from testbed.pods import Pods, pod
from testbed.waiting import wait_for

CLAIM = {"spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}}


def mounted(name: str, script: str, **mounts: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A pod with volumes: name → where it is mounted, what it is."""
    volumes = [{"name": volume, **source} for volume, (_, source) in mounts.items()]
    places = [{"name": volume, "mountPath": place} for volume, (place, _) in mounts.items()]
    return pod(name, script, container={"volumeMounts": places}, volumes=volumes)


def volume_of(pods: Pods, claim: str) -> Path:
    bound = pods.namespace.wait_for("persistentvolumeclaims", claim, "bound", lambda c: c["status"]["phase"] == "Bound")
    volume = pods.nodes.plane.request("GET", f"/api/v1/persistentvolumes/{bound['spec']['volumeName']}")
    return Path(volume["spec"]["hostPath"]["path"])


def test_files_of_a_config_map_lie_where_its_items_say(pods: Pods) -> None:
    data = {"config.yaml": "MISC: {SEED: 1}\n", "other": "not asked for"}
    pods.namespace.create("configmaps", {"metadata": {"name": "c"}, "data": data})
    items = [{"key": "config.yaml", "path": "cfgs/tasks/x.yaml"}]
    script = "cat /etc/pet/cfgs/tasks/x.yaml; ls /etc/pet; readlink /etc/pet/cfgs"
    said = pods.output(mounted("p", script, v=("/etc/pet", {"configMap": {"name": "c", "items": items}})))
    assert said == "MISC: {SEED: 1}\ncfgs\n..data/cfgs\n"


def test_a_secret_and_the_pod_s_own_data_are_files_too(pods: Pods) -> None:
    secret = {"key": base64.b64encode(b"hidden").decode()}
    pods.namespace.create("secrets", {"metadata": {"name": "s"}, "data": secret})
    own = {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}
    sources = [{"secret": {"name": "s"}}, {"downwardAPI": own}]
    manifest = mounted("p", "cat /s/key /all/name /all/key", s=("/s", {"secret": {"secretName": "s"}}),
                       all=("/all", {"projected": {"sources": sources}}))  # fmt: skip
    assert pods.output(manifest) == "hiddenphidden"


def test_the_service_account_s_token_is_where_clients_look(pods: Pods) -> None:
    script = "cd /var/run/secrets/kubernetes.io/serviceaccount && cat namespace && test -s token && test -s ca.crt"
    assert pods.output(pod("p", script)) == pods.namespace.name


def test_a_claim_keeps_what_a_pod_writes_for_the_next_one(pods: Pods) -> None:
    pods.namespace.create("persistentvolumeclaims", {"metadata": {"name": "ckpts"}, **CLAIM})
    volume = {"persistentVolumeClaim": {"claimName": "ckpts"}}
    pods.output(
        mounted("writer", "mkdir /checkpoints/job && echo 100 >/checkpoints/job/last", v=("/checkpoints", volume))
    )
    reader = mounted("reader", "cat /mine/last; pwd", v=("/mine", volume))
    main = reader["spec"]["containers"][0]
    main["volumeMounts"][0]["subPath"] = "job"
    main["workingDir"] = "/mine"
    folder = volume_of(pods, "ckpts")
    assert pods.output(reader) == f"100\n{folder / 'job'}\n"


def test_a_deleted_claim_takes_its_folder_and_its_volume_with_it(pods: Pods) -> None:
    pods.namespace.create("persistentvolumeclaims", {"metadata": {"name": "ckpts"}, **CLAIM})
    folder = volume_of(pods, "ckpts")
    assert folder.is_dir()
    assert folder.parent == pods.nodes.folder / "volumes"
    pods.namespace.delete("persistentvolumeclaims", "ckpts")
    wait_for("the end of the folder", lambda: not folder.exists())
    volumes = pods.nodes.plane.request
    wait_for(
        "the end of the volume",
        lambda: (
            folder.name not in [v["metadata"]["name"] for v in volumes("GET", "/api/v1/persistentvolumes")["items"]]
        ),
    )


def test_variables_come_from_all_their_sources(pods: Pods) -> None:
    pods.namespace.create("configmaps", {"metadata": {"name": "c"}, "data": {"A": "from map", "B": "overwritten"}})
    pods.namespace.create("secrets", {"metadata": {"name": "s"}, "stringData": {"key": "from secret"}})
    env = [
        {"name": "PLAIN", "value": "plain"},
        {"name": "EXPANDED", "value": "$(PLAIN) $(C_A) $(UNKNOWN) $$(PLAIN)"},
        {"name": "C_B", "value": "mine"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
        {"name": "ABSENT", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": True}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "PLACE", "value": "/checkpoints/job"},
        {"name": "PETJOB_BIND_ADDRESS", "value": ""},
    ]
    script = "import os, json, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"
    container = {
        "command": ["python", "-c", script],
        "args": ["$(PLAIN)", "--to=/checkpoints/$(PLAIN)", "/checkpoints.old", "$$(PLAIN)"],
        "env": env,
        "envFrom": [{"prefix": "C_", "configMapRef": {"name": "c"}}],
        "volumeMounts": [{"name": "v", "mountPath": "/checkpoints"}],
    }
    manifest = pod("p", "", container=container, volumes=[{"name": "v", "emptyDir": {}}], hostname="host")
    manifest["metadata"]["labels"] = {"app": "trainer"}
    environ, arguments = json.loads(pods.output(manifest))
    over = pods.over("p")
    volume = pods.folder(over) / "volumes" / "v"
    expected = {
        "EXPANDED": "plain from map $(UNKNOWN) $(PLAIN)",
        "C_A": "from map",
        "C_B": "mine",
        "SECRET": "from secret",
        "LABEL": "trainer",
        "NODE": over["spec"]["nodeName"],
        "ADDRESS": over["status"]["podIP"],
        "PLACE": f"{volume}/job",
        "PETJOB_BIND_ADDRESS": over["status"]["podIP"],
        "HOSTNAME": "host",
    }
    assert {name: environ.get(name) for name in expected} == expected
    assert "ABSENT" not in environ
    assert "PET_MASTER_ADDR" not in environ
    assert arguments == ["plain", f"--to={volume}/plain", "/checkpoints.old", "$(PLAIN)"]


def test_the_image_is_the_checkout(pods: Pods) -> None:
    script = "ls -d tools/train_net_all.py cfgs/tasks /opt/pet/tools/tasks /data"
    root, data = pods.nodes.image.working_dir, pods.nodes.image.paths["/data"]
    tools = f"{root}/trainer/tools"
    expected = [f"{tools}/train_net_all.py", "cfgs/tasks", f"{tools}/tasks", data]
    assert sorted(pods.output(pod("p", script)).split()) == sorted(expected)


def test_shared_memory_is_the_pod_s_own(pods: Pods) -> None:
    env = [{"name": "PETJOB_RUN_DIR", "value": ""}]  # empty: the trainer's default, which is below /dev/shm
    over = pods.run(pod("p", "echo mine >/dev/shm/mine && cat $PETJOB_RUN_DIR/mine", container={"env": env}))
    assert over["status"]["phase"] == "Succeeded"
    assert (pods.folder(over) / "shm" / "mine").read_text() == "mine\n"
