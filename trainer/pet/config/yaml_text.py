"""YAML as users write it, read strictly: an empty text and a key written twice are errors, and lines are remembered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from pet.config.errors import ConfigError, Problem

EXAMPLE = "SOLVER: {SNAPSHOT_ITER: 1000}"


@dataclass(frozen=True)
class Entry:
    """One value of a configuration: its dotted name, what the YAML says, and the line it stands in."""

    name: str
    value: Any
    line: int


def load_documents(text: str, source: str) -> list[tuple[Any, list[Problem]]]:
    """All documents of a text that are not empty, each with a problem for every key written twice in it.

    Raises ConfigError if the text is no YAML, or holds what JSON cannot say: a manifest is JSON for Kubernetes.
    """
    loader, nodes = _compose(text, source)
    documents = [(_construct(loader, node, source), _duplicates(node, source)) for node in nodes]
    try:
        json.dumps([document for document, _ in documents], default=str)
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError.of(source, f"is YAML, but not a manifest: {error}") from error
    return documents


def load_entries(text: str, source: str, is_section: Callable[[str], bool]) -> tuple[list[Entry], list[Problem]]:
    """The values of a configuration, which is one mapping, and a problem for every key written twice.

    What `is_section` names is entered, all else is a value. Raises ConfigError if the text is no YAML, is empty, is
    no mapping or holds several documents.
    """
    loader, nodes = _compose(text, source)
    if not nodes:
        raise ConfigError.of(source, f"is empty; it must hold at least one key, for example {EXAMPLE}")
    if len(nodes) > 1:
        raise ConfigError.of(source, f"holds {len(nodes)} YAML documents; a configuration is one")
    if not isinstance(nodes[0], yaml.MappingNode):
        raise ConfigError.of(source, f"is not a mapping of sections, for example {EXAMPLE}")
    problems = _duplicates(nodes[0], source)  # before merge keys are resolved: they may override
    return list(_entries(loader, nodes[0], source, is_section, "")), problems


def _entries(
    loader: yaml.SafeLoader, node: yaml.MappingNode, source: str, is_section: Callable[[str], bool], prefix: str
) -> Iterator[Entry]:
    loader.flatten_mapping(node)  # merge keys (<<)
    for key, value in node.value:
        name = f"{prefix}{key.value}" if isinstance(key, yaml.ScalarNode) else f"{prefix}?"
        if isinstance(value, yaml.MappingNode) and is_section(name):
            yield from _entries(loader, value, source, is_section, f"{name}.")
        else:
            yield Entry(name, _construct(loader, value, source), key.start_mark.line + 1)


def _compose(text: str, source: str) -> tuple[yaml.SafeLoader, list[yaml.Node]]:
    """The nodes of all documents that are not empty."""
    nodes: list[yaml.Node] = []
    try:
        loader = yaml.SafeLoader(text)
        while loader.check_node():
            if (node := loader.get_node()) is not None:
                nodes.append(node)
    except (yaml.YAMLError, RecursionError) as error:
        raise _invalid(source, error) from error
    return loader, [node for node in nodes if not _is_empty(node)]


def _construct(loader: yaml.SafeLoader, node: yaml.Node, source: str) -> Any:
    try:
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        raise _invalid(source, error) from error


def _invalid(source: str, error: Exception) -> ConfigError:
    return ConfigError.of(source, f"is not valid YAML: {' '.join(str(error).split())}")


def _is_empty(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null" or (isinstance(node, yaml.MappingNode) and not node.value)


def _duplicates(root: yaml.Node, source: str) -> list[Problem]:
    """A problem for every key that a mapping holds twice."""
    problems: list[Problem] = []
    pending = [("", root)]
    seen: set[int] = set()  # aliases lead to the same node
    while pending:
        path, node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        children: list[tuple[str, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            problems += _duplicates_of(node, path, source)
            children = [(f"{path}{key.value}.", value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            children = [(f"{path[:-1]}[{index}].", value) for index, value in enumerate(node.value)]
        pending += reversed(children)
    return problems


def _duplicates_of(mapping: yaml.MappingNode, path: str, source: str) -> Iterator[Problem]:
    lines: dict[str, int] = {}
    for key, _ in mapping.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        if key.value in lines:
            yield Problem(
                path + key.value,
                f"is written twice, in lines {lines[key.value]} and {line} of {source}; only one of them can count",
            )
        lines.setdefault(key.value, line)
