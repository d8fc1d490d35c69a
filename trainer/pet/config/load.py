"""The one way from a user's sources to a configuration that a script can train with."""

from __future__ import annotations

from collections.abc import Sequence

from pet.config.errors import ConfigError, Problem
from pet.config.infer import infer_cfg
from pet.config.merge import merge_pairs, merge_yaml
from pet.config.node import Config, get_base_cfg, read_file
from pet.config.rules import check_config


def load_config(
    script: str,
    *,
    cfg_file: str | None = None,
    text: str | None = None,
    overrides: Sequence[str] = (),
    world_size: int | None = None,
) -> Config:
    """The script's defaults, under the file or the embedded text, under the overrides; inferred, checked and frozen.

    With both `text` and `cfg_file`, the text is what is read and the file only gives the checkpoint folder its name.
    Raises one ConfigError with the problems of all sources together.
    """
    cfg, problems = read_config(script, cfg_file=cfg_file, text=text, overrides=overrides, world_size=world_size)
    if problems or cfg is None:
        raise ConfigError(problems)
    return cfg


def read_config(
    script: str,
    *,
    cfg_file: str | None = None,
    text: str | None = None,
    text_source: str = "config",
    overrides: Sequence[str] | None = (),
    overrides_source: str = "command line",
    world_size: int | None = None,
) -> tuple[Config | None, list[Problem]]:
    """As `load_config`, but returns the problems beside what could be used.

    None, and no rule is judged, where a source as a whole is unusable; `overrides` None says so of them.
    """
    cfg = get_base_cfg(script)
    whole = overrides is not None
    problems: list[Problem] = []
    try:
        if text is not None:
            problems += merge_yaml(cfg, cfg.schema, text, text_source, lines=False)
        elif cfg_file is not None:
            problems += merge_yaml(cfg, cfg.schema, read_file(cfg_file), cfg_file, lines=True)
    except ConfigError as error:
        problems += error.problems
        whole = False
    problems += merge_pairs(cfg, cfg.schema, overrides or (), overrides_source)
    if not whole:
        return None, problems
    problems += check_config(cfg, world_size, problems)  # before anything is inferred: that is not the user's doing
    infer_cfg(cfg, cfg_file)
    cfg.freeze()
    return cfg, problems
