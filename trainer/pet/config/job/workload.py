"""The fields of a job's spec that say what runs: configuration, arguments, pod template."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import yaml

from pet.config.environment import RESERVED_NAMES, RESERVED_PREFIXES, is_reserved
from pet.config.job.fields import Fields
from pet.config.values import control_character, show, write_text

LAUNCHER_OPTIONS = {
    "--cfg": "spec.cfg",
    "--type": "spec.type",
    "--script": "spec.type",
    "--gpu_id": "spec.gpusPerNode",
    "--nproc": "spec.procsPerNode",
    "--local_rank": "nothing: the launcher sets it",
}

# What the operator says itself, and where to say it instead. What is the same anyway may be in a template.
_OVERRULED_OF_TRAINER = {
    "image": "give spec.image",
    "command": "the operator starts Pet's launcher; give spec.cfg and spec.scriptArgs, or a container of another name",
    "args": "the operator starts Pet's launcher; give spec.cfg and spec.scriptArgs, or a container of another name",
}
_OVERRULED_OF_POD = {
    "hostname": "ranks find each other by the operator's names; leave it out",
    "subdomain": "ranks find each other by the operator's names; leave it out",
    "restartPolicy": "pods of a job are never restarted by the kubelet, see spec.restart; leave it out",
    "enableServiceLinks": "pods of a job have no variables of Services; leave it out",
    "terminationGracePeriodSeconds": "give spec.checkpoint.gracePeriodSeconds",
}
_OVERRULED_OF_METADATA = {
    "name": "each pod has a name by its place in the job; leave it out",
    "generateName": "each pod has a name by its place in the job; leave it out",
    "namespace": "pods are in the job's namespace; leave it out",
    "finalizers": "a pod that is held would be in the way of the next attempt; leave it out",
    "ownerReferences": "pods belong to their job; leave it out",
}
_SAME = {"restartPolicy": "Never", "enableServiceLinks": False}
_TRAINER = "trainer"

# What the operator looks at in a template, or puts something beside. A list here holds the form of its entries, if it
# matters.
_CONTAINER: dict[str, Any] = {
    "env": [{}],
    "ports": [{}],
    "resources": {"limits": {}},
    "securityContext": {"capabilities": {"add": []}},
    "volumeMounts": [{}],
}
_TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {}, "annotations": {}},
    "spec": {
        "containers": [_CONTAINER],
        "initContainers": [_CONTAINER],
        "securityContext": {"seccompProfile": {}},
        "tolerations": [{}],
        "volumes": [{}],
    },
}


def read_cfg(spec: Fields) -> str:
    """`spec.cfg`, as it was written."""
    cfg = spec.text("cfg", "", required=True)
    normal = posixpath.normpath(cfg)
    if "config" in spec and (normal.startswith("/") or normal.split("/")[0] == ".."):
        spec.report(
            "cfg",
            f"{cfg!r} is where the embedded config goes; give a relative path that stays below the root,"
            " for example cfgs/tasks/cls/my.yaml",
        )
    return cfg


def read_config(spec: Fields) -> str | None:
    """`spec.config` as YAML text, whether it was written as a mapping or as text."""
    config = spec.value("config")
    if config is None or isinstance(config, str):
        return config
    if isinstance(config, dict):
        return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    spec.report("config", f"{show(config)} is not a configuration; give a mapping of sections, or its YAML as text")
    return None


def read_overrides(spec: Fields) -> tuple[tuple[str, str], ...]:
    """`spec.overrides` as the KEY, text pairs that they are handed on as."""
    overrides = spec.child("overrides")
    content = spec.value("overrides")
    pairs = []
    for key, value in content.items() if isinstance(content, dict) else ():  # null is a value here
        text = write_text(value)
        if key == "MISC.CKPT":
            overrides.report(key, "is set by the operator; say where checkpoints go with spec.checkpoint.path")
        elif character := control_character(f"{key}{text}", but="\n\t"):
            overrides.report(key, f"{show(text)}: key or value hold the control character {character}; leave it out")
        else:
            pairs.append((str(key), text))
    return tuple(pairs)


def read_script_args(spec: Fields) -> tuple[str, ...]:
    """`spec.scriptArgs`; what the launcher takes for itself is refused."""
    args = spec.texts("scriptArgs")
    for index, arg in enumerate(args):
        option = arg.partition("=")[0]
        if option in LAUNCHER_OPTIONS:
            spec.report(f"scriptArgs[{index}]", f"{option} is the launcher's; use {LAUNCHER_OPTIONS[option]}")
        elif option == "MISC.CKPT":
            spec.report(f"scriptArgs[{index}]", "MISC.CKPT is set by the operator; use spec.checkpoint.path")
        elif option in ("--help", "-h"):
            spec.report(f"scriptArgs[{index}]", f"{option} prints a help text and trains nothing; leave it out")
    return args


def read_template(template: Fields) -> dict[str, Any]:
    """`spec.template` as it is: of the form that Kubernetes gives a pod, with the operator's environment names free."""
    _check_form(template, _TEMPLATE)
    _check_overruled(template)
    template.close()
    return template.content


def _check_form(owner: Fields, form: Mapping[str, Any]) -> None:
    for name, inner in form.items():
        if name == "env":
            _check_environment(owner)
        elif isinstance(inner, Mapping):
            _check_form(owner.child(name), inner)
        else:
            for index, entry in enumerate(_entries(owner, name)):
                for form_of_entry in inner:
                    if entry is None:
                        owner.report(f"{name}[{index}]", "null is not a mapping")
                    _check_form(Fields(entry, f"{owner.path}.{name}[{index}]", owner.problems), form_of_entry)


def _check_overruled(template: Fields) -> None:
    """What has no effect is refused: a job would run otherwise than its author believes."""
    metadata, spec = (part if isinstance(part := template.value(name), dict) else {} for name in ("metadata", "spec"))
    containers = containers if isinstance(containers := spec.get("containers"), list) else []
    trainers = [
        (f"spec.containers[{index}]", container, _OVERRULED_OF_TRAINER)
        for index, container in enumerate(containers)
        if isinstance(container, dict) and container.get("name") == _TRAINER
    ]
    parts = [("metadata", metadata, _OVERRULED_OF_METADATA), ("spec", spec, _OVERRULED_OF_POD), *trainers]
    for path, content, overruled in parts:
        for name, remedy in overruled.items():
            if content.get(name) not in (None, [], _SAME.get(name)):
                template.report(f"{path}.{name}", f"has no effect: {remedy}")


def _check_environment(container: Fields) -> None:
    for index, variable in enumerate(_entries(container, "env")):
        name = variable.get("name") if isinstance(variable, dict) else None
        if not isinstance(name, str):
            container.report(f"env[{index}]", f"{show(variable)} has no name")
        elif is_reserved(name):
            reserved = ", ".join([*RESERVED_NAMES, *(f"{prefix}*" for prefix in RESERVED_PREFIXES)])
            container.report(
                f"env[{index}].name", f"{name} is reserved, the operator sets it; choose a name other than {reserved}"
            )


def _entries(owner: Fields, name: str) -> list[Any]:
    """A list of anything; empty where it is absent or wrong."""
    value = owner.value(name)
    if isinstance(value, list):
        return value
    if value is not None:
        owner.report(name, f"{show(value)} is not a list")
    return []
