"""YAML as users write it, read strictly: lines are remembered.

An empty text, a key written twice and a number that YAML's versions read differently are errors.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs leave it out
from yaml.resolver import Resolver

from pet.config.errors import ConfigError, Problem

EXAMPLE = "SOLVER: {SNAPSHOT_ITER: 1000}"
_NOT_IN_JSON = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST = 10_000_000  # several times what an API server takes, and little enough to be written as JSON here
_MODES = "spec.template."  # a pod's part of a job, where octal modes of files are the custom


class _Loader(Composer, CParser, SafeConstructor, Resolver):
    """PyYAML's safe loader over libyaml's parser, some eight times as fast: an operator reads whatever it is given.

    Nodes are put together in Python, where a text that is nested too deep is a RecursionError and no crash.
    """

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node. PyYAML fails in many ways on one that is not what its tag says: `!!bool maybe`."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError) as error:
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"this is no {kind}", node.start_mark) from error


@dataclass(frozen=True)
class Entry:
    """One value of a configuration: its dotted name, what the YAML says, and the line it stands in."""

    name: str
    value: Any
    line: int


def load_documents(text: str, source: str) -> list[tuple[Any, list[Problem]]]:
    """All documents of a text that are not empty, each with its problems: keys written twice, ambiguous numbers, and
    numbers that JSON has not.

    Raises ConfigError if the text is no YAML, or holds what JSON cannot say: a manifest is JSON for Kubernetes.
    """
    loader, nodes = _compose(text, source)
    with _valid(source):
        if sum(_length(node, {}) for node in nodes) > _LONGEST:
            raise ConfigError.of(source, f"has more than {_LONGEST:,} characters once its aliases are unfolded")
        documents = [(loader.construct_document(node), _faults(node, source, manifest=True)) for node in nodes]
    try:
        json.dumps([document for document, _ in documents], default=str)
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError.of(source, f"is YAML, but not a manifest: {error}") from error
    return documents


def load_entries(text: str, source: str, is_section: Callable[[str], bool]) -> tuple[list[Entry], list[Problem]]:
    """The values of a configuration, which is one mapping, and the problems that `load_documents` finds.

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
    problems = _faults(nodes[0], source)  # before merge keys are resolved: they may override
    with _valid(source):
        return list(_entries(loader, nodes[0], is_section, "")), problems


def _entries(
    loader: _Loader, node: yaml.MappingNode, is_section: Callable[[str], bool], prefix: str
) -> Iterator[Entry]:
    loader.flatten_mapping(node)  # merge keys (<<)
    for key, value in node.value:
        name = f"{prefix}{key.value}" if isinstance(key, yaml.ScalarNode) else f"{prefix}?"
        if isinstance(value, yaml.MappingNode) and is_section(name):
            yield from _entries(loader, value, is_section, f"{name}.")
        else:
            yield Entry(name, loader.construct_document(value), key.start_mark.line + 1)


def _compose(text: str, source: str) -> tuple[_Loader, list[yaml.Node]]:
    """The nodes of all documents that are not empty."""
    nodes: list[yaml.Node] = []
    with _valid(source):
        loader = _Loader(text)
        while loader.check_node():
            if (node := loader.get_node()) is not None:
                nodes.append(node)
    return loader, [node for node in nodes if not _is_empty(node)]


@contextmanager
def _valid(source: str) -> Iterator[None]:
    """Raise ConfigError for whatever PyYAML refuses."""
    try:
        yield
    except (yaml.YAMLError, UnicodeEncodeError, RecursionError) as error:  # half of a surrogate pair
        raise ConfigError.of(source, f"is not valid YAML: {' '.join(str(error).split())}") from error


def _length(node: yaml.Node, known: dict[int, int]) -> int:
    """The characters of all values, each as often as aliases lead to it. What holds itself is refused later."""
    if isinstance(node, yaml.ScalarNode):
        return 1 + len(node.value)
    if id(node) not in known:
        known[id(node)] = 0
        parts = itertools.chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + sum(_length(part, known) for part in parts)
    return known[id(node)]


def _is_empty(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null" or (isinstance(node, yaml.MappingNode) and not node.value)


def _faults(root: yaml.Node, source: str, *, manifest: bool = False) -> list[Problem]:
    """A problem for every key that a mapping holds twice, and for every number that may mean another one.

    In a `manifest` also for every number that is none for Kubernetes.
    """
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
        elif manifest and node.tag.endswith(":float") and _NOT_IN_JSON.fullmatch(node.value):
            words = f'{node.value} is no number in JSON, which a manifest is; give a finite one, or "Infinity" as text'
            problems.append(Problem(path[:-1], f"{words} (line {node.start_mark.line + 1} of {source})"))
        elif path.startswith(_MODES):
            continue
        elif isinstance(node, yaml.ScalarNode) and (reason := _why_ambiguous(node)):
            problems.append(Problem(path[:-1], f"{reason} (line {node.start_mark.line + 1} of {source})"))
        pending += reversed(children)
    return problems


def _why_ambiguous(node: yaml.ScalarNode) -> str | None:
    """What is odd about a number; YAML 1.1 and 1.2, and so this program and kubectl, differ on it."""
    text = node.value
    if node.tag.endswith((":int", ":float")) and ":" in text:
        return f"{text} is a number of base 60 in YAML 1.1; write it with decimal digits, or put a text in quotes"
    if node.tag.endswith(":int") and re.fullmatch(r"[-+]?0[0-7_]+", text):
        digits = text.replace("_", "")
        return f"{text} is octal in YAML 1.1, and so {int(digits, 8)}; write {int(digits)} or {int(digits, 8)}"
    return None


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
