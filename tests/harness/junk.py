"""Junk for tests to put anywhere into a job that has every field."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

JOB: dict[str, Any] = {
    "apiVersion": "pet.dev/v1",
    "kind": "PetTrainingJob",
    "metadata": {"name": "job", "namespace": "team", "uid": "u", "annotations": {"a": "b"}},
    "spec": {
        "cfg": "cfgs/tasks/cls/a.yaml",
        "type": "tasks",
        "config": {
            "MISC": {"DEVICE": "cpu", "CKPT": "x"},
            "DATA": {"PIXEL_MEAN": [0.5], "PIXEL_STD": [0.5]},
            "TRAIN": {"DATASETS": ["a_train"], "BATCH_SIZE": 8, "HOOKS": [{"type": "a:B", "args": {}}]},
            "SOLVER": {"SCHEDULER": {"TOTAL_EPOCHS": 2, "POLICY": "COSINE", "STEPS": [1, 2]}},
            "MODEL": {"IN_CHANNELS": 1},
        },
        "overrides": {"MISC.SEED": 1, "TRAIN.TRANSFORMS": ["resize"]},
        "scriptArgs": ["MISC.DISPLAY_ITER", "3"],
        "image": "mine",
        "nodes": 2,
        "gpusPerNode": 0,
        "procsPerNode": 2,
        "gpuResource": "nvidia.com/gpu",
        "template": {"spec": {"containers": [{"name": "trainer", "env": [{"name": "A", "value": "1"}]}]}},
        "sharedMemory": {"size": "1Gi"},
        "data": {"claimName": "c", "path": "a", "readOnly": True},
        "checkpoint": {"volume": {"size": "1Gi", "accessModes": ["ReadWriteMany"]}, "path": "p", "resume": "other"},
        "deadlines": {"activeSeconds": 9, "stallSeconds": "auto"},
        "metrics": {"port": 9400},
    },
}


def places(tree: object, path: Path = ()) -> Iterator[Path]:
    """The way to everything in a tree, but for the root."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def with_junk(path: Path, junk: object, whole: Any = JOB) -> Any:
    """The job with something else at one place."""
    job = copy.deepcopy(whole)
    inner: Any = job
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    return job


texts = st.text(max_size=6) | st.sampled_from(
    ["\0", "\ud800", "None", "..", "/", "[", "{", "--", "0x" + "f" * 5000, "{a: &x [*x]}", "1e999", ""]
)
numbers = st.integers() | st.floats() | st.sampled_from([10**30, -(10**30), 2**63, 10**400])
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
SPEC_PLACES = st.sampled_from([path for path in places(JOB) if path[0] == "spec" and len(path) > 1])
job_places = st.sampled_from([*places(JOB), ("spec", "junk"), ("junk",), ("metadata", "junk")])


def hostile() -> dict[str, dict[str, Any]]:
    """Specs that somebody might try, by what is odd about them."""
    plain = {"cfg": "cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml", "gpusPerNode": 0}
    trainer = {"name": "trainer"}
    odd: dict[str, Any] = {
        "huge numbers": {"nodes": 2**62, "gpusPerNode": 2**62},
        "a number past all": {"nodes": 10**30},
        "negative numbers": {"nodes": -1, "procsPerNode": -(2**31)},
        "as many nodes as there may be": {"nodes": 2**31 - 1},
        "endless deadlines": {"deadlines": {"activeSeconds": 2**62, "startupSeconds": 2**62, "stallSeconds": 2**62}},
        "endless time to live": {"ttlSecondsAfterFinished": 2**62},
        "an endless window": {"restart": {"maxRestarts": 2**31, "windowSeconds": 2**62}},
        "empty lists": {"scriptArgs": [], "template": {"spec": {"containers": [], "volumes": [], "tolerations": []}}},
        "empty mappings": {"config": {}, "overrides": {}, "template": {}, "checkpoint": {}, "sharedMemory": {}},
        "nothing at all": {"cfg": "", "type": "", "image": ""},
        "unicode": {"overrides": {"🙂": "é漢"}, "scriptArgs": ["MISC.CKPT", "漢\u2028字"], "image": "🙂"},
        "control characters": {"scriptArgs": ["MISC.CKPT", "\x1b[31m\x7f"], "checkpoint": {"path": "a\x07b"}},
        "a large configuration": {"config": "# " + 125_000 * "é" + "\nMISC: {SEED: 1}\n"},
        "a large tree": {"config": {"MISC": {f"KEY_{number}": "x" * 100 for number in range(2400)}}},
        "a deep tree": {"config": _nested(150)},
        "many arguments": {"scriptArgs": ["MISC.SEED", "1"] * 20_000},
        "a path out of its folder": {"cfg": "../../etc/passwd", "checkpoint": {"path": "../../..", "resume": "/etc"}},
        "a template of a number": {"template": 1},
        "a template's spec of a text": {"template": {"spec": "trainer"}},
        "containers of a mapping": {"template": {"spec": {"containers": {"name": "trainer"}}}},
        "containers of numbers": {"template": {"spec": {"containers": [1, None, "trainer"]}}},
        "a container without a name": {"template": {"spec": {"containers": [{"image": "x"}]}}},
        "two trainers": {"template": {"spec": {"containers": [trainer, trainer]}}},
        "env of a mapping": {"template": {"spec": {"containers": [trainer | {"env": {"A": "1"}}]}}},
        "env of texts": {"template": {"spec": {"containers": [trainer | {"env": ["A=1"]}]}}},
        "mounts of texts": {"template": {"spec": {"containers": [trainer | {"volumeMounts": ["/dev/shm"]}]}}},
        "ports of numbers": {"template": {"spec": {"containers": [trainer | {"ports": [80]}]}}},
        "resources of a list": {"template": {"spec": {"containers": [trainer | {"resources": ["1Gi"]}]}}},
        "memory of no quantity": {"template": {"spec": {"containers": [trainer | {"resources": _memory("lots")}]}}},
        "memory of a number": {"template": {"spec": {"containers": [trainer | {"resources": _memory(2**70)}]}}},
        "security of a text": {"template": {"spec": {"containers": [trainer | {"securityContext": "none"}]}}},
        "an added text": {"template": {"spec": {"containers": [trainer | {"securityContext": _added("ALL")}]}}},
        "tolerations of texts": {"template": {"spec": {"tolerations": ["all"]}}},
        "affinity of a list": {"template": {"spec": {"affinity": []}}},
        "labels of a list": {"template": {"metadata": {"labels": ["a"], "annotations": 1}}},
        "labels of numbers": {"template": {"metadata": {"labels": {"a": 1}}}},
        "metadata of a text": {"template": {"metadata": "x"}},
        "a size of no quantity": {"checkpoint": {"volume": {"size": "lots"}}, "sharedMemory": {"size": "some"}},
        "unknown fields everywhere": {"x": 1, "checkpoint": {"y": 2, "volume": {"z": 3}}, "deadlines": {"w": 4}},
    }
    return {name: plain | spec for name, spec in odd.items()}


def _nested(depth: int) -> Any:
    return {"MISC": _nested(depth - 1)} if depth else 1


def _memory(value: object) -> dict[str, Any]:
    return {"limits": {"memory": value}}


def _added(value: object) -> dict[str, Any]:
    return {"capabilities": {"add": value}}
