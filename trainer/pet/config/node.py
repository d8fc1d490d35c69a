"""`Config`: Pet's configuration tree, a yacs node whose merges are checked against the script's schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import cache
from typing import Any

from yacs.config import CfgNode

from pet.config.defaults import schema
from pet.config.errors import ConfigError, Problem
from pet.config.merge import merge_pairs, merge_yaml
from pet.config.schema import Schema


class Config(CfgNode):  # type: ignore[misc]
    """A configuration, or one of its sections. Read it by attribute: `cfg.SOLVER.OPTIMIZER.BASE_LR`.

    The merge methods are those of a whole configuration. Each takes what is right and then raises one ConfigError
    with everything that is wrong with its source.
    """

    @property
    def schema(self) -> Schema:
        """The keys that this configuration may hold."""
        return schema(self.__dict__["script"])

    def merge_from_file(self, cfg_filename: str) -> None:
        """Merge a YAML file."""
        _raise(merge_yaml(self, self.schema, read_file(cfg_filename), cfg_filename, lines=True))

    def merge_from_text(self, text: str, source: str = "config") -> None:
        """Merge YAML text; `source` names it in messages."""
        _raise(merge_yaml(self, self.schema, text, source, lines=False))

    def merge_from_list(self, cfg_list: Sequence[object]) -> None:
        """Merge KEY, VALUE, KEY, VALUE, … as a command line gives them."""
        _raise(merge_pairs(self, self.schema, cfg_list, "command line"))

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Every key of this tree with its value, by dotted name."""
        for name, value in self.items():
            if isinstance(value, Config):
                yield from value.leaves(f"{prefix}{name}.")
            else:
                yield prefix + name, value


def get_base_cfg(script: str = "vision") -> Config:
    """The defaults of a script (`vision`, `cls`, …), free to be changed. Raises ConfigError for an unknown script."""
    cfg = _copy(_defaults(script))
    cfg.__dict__["script"] = script
    return cfg


@cache
def _defaults(script: str) -> Config:
    return Config(schema(script).defaults())


def _copy(node: Config) -> Config:
    """As deep as a section goes. yacs would copy each section once for each section around it."""
    made = Config()
    for name, value in node.items():
        dict.__setitem__(made, name, _copy(value) if isinstance(value, Config) else deepcopy(value))
    return made


def read_file(path: str) -> str:
    """A configuration file's text. Raises ConfigError if it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError.of(path, f"cannot be read: {reason}") from error


def _raise(problems: list[Problem]) -> None:
    if problems:
        raise ConfigError(problems)
