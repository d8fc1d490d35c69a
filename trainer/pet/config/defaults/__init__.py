"""The base configurations: which declarations make up each script's keys."""

from __future__ import annotations

from functools import cache

from pet.config.defaults import cls, common, vision
from pet.config.errors import ConfigError
from pet.config.schema import Declaration, Schema

SCRIPTS: dict[str, tuple[Declaration, ...]] = {
    "vision": (common.KEYS, vision.KEYS),
    "cls": (common.KEYS, cls.KEYS),
}
# For a file whose script cannot be told: the keys of all, with the wider of two declarations.
ANY_SCRIPT = "any"


@cache
def schema(script: str) -> Schema:
    """The keys of one script. Raises ConfigError for a script whose keys are not declared."""
    if script == ANY_SCRIPT:
        return Schema(script, *(keys for _, keys in SCRIPTS.values()), common.KEYS)
    if script not in SCRIPTS:
        raise ConfigError.of("script", f"{script!r} has no base configuration; there are {', '.join(SCRIPTS)}")
    return Schema(script, *SCRIPTS[script])
