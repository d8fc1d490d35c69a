"""What a training script's source reads of the configuration, and another value for any key.

Configurations are followed by name, from a parameter called `cfg` and from the result of `load_config`: through
assignments, attributes of `self` and arguments of calls, to the keys that are read by attribute. What is only written
does not count, and neither does a key of the same name in another section.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pet.config.merge import checked
from pet.config.schema import Key
from pet.config.values import Misfit

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Parts = frozenset[str]  # dotted names of parts of the configuration; "" is the whole
NOTHING: Parts = frozenset()
WHOLE: Parts = frozenset({""})
VALUES = (True, False, 2, 3, 0.5, 1.5, "x", (), (0.25, 0.75), (2, 3), ((2, 3),), ("x",), [{"x": 1}])  # of every shape


def another_value(key: Key) -> Any:
    """A value that the key may have and that is not its default."""
    for value in (*get_args(key.type), *VALUES):
        try:
            fitted = checked(key, value)
        except Misfit:
            continue
        if fitted != key.default:
            return fitted
    raise ValueError(f"no value found for {key}")


def keys_read(script: Path, library: Path, *, without: str) -> set[str]:
    """Dotted names of all that `script`, and what it imports from the packages in `library`, reads of a configuration.

    `without` names a package that does not count.
    """
    return _Follower([ast.parse(path.read_text("utf-8")) for path in _sources(script, library, without)]).follow()


def _sources(script: Path, library: Path, without: str) -> set[Path]:
    """The script and, through any number of imports, modules of the library."""
    found, pending = {script}, [script]
    while pending:
        for name in _imported(ast.parse(pending.pop().read_text("utf-8"))):
            place = library.joinpath(*name.split("."))
            for path in (place.with_suffix(".py"), place / "__init__.py"):
                if path.is_file() and path not in found and not f"{name}.".startswith(f"{without}."):
                    found.add(path)
                    pending.append(path)
    return found


def _imported(tree: ast.AST) -> Iterator[str]:
    """Absolute names of modules, and of what may be modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class _Follower:
    """Binds names to parts of the configuration until nothing new is found."""

    def __init__(self, modules: list[ast.Module]) -> None:
        self.functions: list[tuple[FunctionNode, str]] = []  # with their class, "" outside of any
        self.called: dict[str, list[FunctionNode]] = defaultdict(list)  # by the name that a call has for them
        # What (function, name) and (class, attribute of self) are bound to.
        self.bound: dict[tuple[FunctionNode | str, str], Parts] = defaultdict(frozenset)
        self.read: set[str] = set()
        for module in modules:
            self._index(module, "")

    def follow(self) -> set[str]:
        """All that is read."""
        known = -1
        while known != (known := len(self.read) + sum(map(len, self.bound.values()))):
            for function, owner in self.functions:
                for node in ast.walk(function):
                    self._examine(node, function, owner)
        return self.read

    def _index(self, node: ast.AST, owner: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, FunctionNode):
                self.functions.append((child, owner))
                self.called[owner if child.name == "__init__" else child.name].append(child)
                if "cfg" in _parameters(child):
                    self.bound[child, "cfg"] = WHOLE
            self._index(child, child.name if isinstance(child, ast.ClassDef) else owner)

    def _examine(self, node: ast.AST, function: FunctionNode, owner: str) -> None:
        match node:
            case ast.Attribute(ctx=ast.Load()):
                self.read |= self._parts(node, function, owner)
            case ast.Assign(targets=[ast.Tuple(targets)], value=ast.Tuple(values)):
                for target, value in zip(targets, values, strict=True):
                    self._assign(target, value, function, owner)
            case ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, value, function, owner)
            case ast.Call():
                for callee, parameter, argument in self._arguments(node):
                    self.bound[callee, parameter] |= self._parts(argument, function, owner)

    def _assign(self, target: ast.expr, value: ast.expr, function: FunctionNode, owner: str) -> None:
        match target:
            case ast.Name(name):
                self.bound[function, name] |= self._parts(value, function, owner)
            case ast.Attribute(ast.Name("self"), name):
                self.bound[owner, name] |= self._parts(value, function, owner)

    def _parts(self, node: ast.expr, function: FunctionNode, owner: str) -> Parts:
        """What an expression may be of the configuration."""
        match node:
            case ast.Name(name):
                return self.bound.get((function, name), NOTHING)
            case ast.Attribute(ast.Name("self"), name):
                return self.bound.get((owner, name), NOTHING)
            case ast.Attribute(value, name):
                return frozenset(f"{part}.{name}".lstrip(".") for part in self._parts(value, function, owner))
            case ast.IfExp(body=one, orelse=other):
                return self._parts(one, function, owner) | self._parts(other, function, owner)
            case ast.Call(ast.Name("load_config")):
                return WHOLE
        return NOTHING

    def _arguments(self, call: ast.Call) -> Iterator[tuple[FunctionNode, str, ast.expr]]:
        """(function, parameter, argument) for everything that a call, or a partial one, may reach."""
        callee, positional = call.func, call.args
        if isinstance(callee, ast.Name) and callee.id == "partial":
            callee, *positional = positional
        name = getattr(callee, "id", None) or getattr(callee, "attr", "")
        for function in self.called.get(name, ()):
            parameters = [parameter for parameter in _parameters(function) if parameter != "self"]
            pairs = zip(parameters, positional, strict=False)
            yield from ((function, parameter, argument) for parameter, argument in pairs)
            yield from ((function, word.arg, word.value) for word in call.keywords if word.arg in parameters)


def _parameters(function: FunctionNode) -> list[str]:
    arguments = function.args
    return [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
