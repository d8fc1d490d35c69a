"""Configurations, jobs and the contract of a pod: everything that the operator and the trainer must agree on.

Imports no torch.
"""

from pet.config.catalogue import known_scripts
from pet.config.environment import JobEnvironment
from pet.config.errors import ConfigError, Problem
from pet.config.infer import config_hash, deciding_keys, infer_cfg
from pet.config.load import load_config
from pet.config.node import Config, get_base_cfg
from pet.config.rules import check_config, config_warnings
from pet.config.scripts import Script, resolve_script

__all__ = [
    "Config",
    "ConfigError",
    "JobEnvironment",
    "Problem",
    "Script",
    "check_config",
    "config_hash",
    "config_warnings",
    "deciding_keys",
    "get_base_cfg",
    "infer_cfg",
    "known_scripts",
    "load_config",
    "resolve_script",
]
