"""The fields of a job's spec that say what runs: configuration and arguments."""

from __future__ import annotations

import posixpath

import yaml

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
    problem = f"{show(config)} is not a configuration; give a mapping of sections, or its YAML as text"
    if isinstance(config, dict):
        try:
            return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        except RecursionError:
            problem = "is nested too deep to be written as YAML; no configuration is"
    spec.report("config", problem)
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
        elif str(key).startswith("-"):
            overrides.report(key, "is an option, and overrides are for keys; give it in spec.scriptArgs")
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
        elif option == "--":
            spec.report(f"scriptArgs[{index}]", "-- would hide spec.overrides from the launcher; leave it out")
        elif option == "MISC.CKPT":
            spec.report(f"scriptArgs[{index}]", "MISC.CKPT is set by the operator; use spec.checkpoint.path")
        elif option == "--help" or option.startswith("-h"):  # argparse reads -hx as -h x
            spec.report(f"scriptArgs[{index}]", f"{option} prints a help text and trains nothing; leave it out")
    return args
