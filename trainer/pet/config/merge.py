"""One source of configuration values into the tree: every key looked up, every value fitted, all problems returned."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from yacs.config import CfgNode

from pet.config.errors import Problem, UnknownKey
from pet.config.schema import Key, Schema
from pet.config.values import Misfit, fit, numbers, read_text, show
from pet.config.yaml_text import load_entries

# What stood on its own in files from before Pet 0.6: where it is now, and how to say so.
MOVED = {
    "CKPT": ("MISC.CKPT", "this is MISC.CKPT since Pet 0.6"),
    "DEVICE": ("MISC.DEVICE", "this is MISC.DEVICE since Pet 0.6"),
    "DATALOADER": ("DATA", "its keys are in DATA since Pet 0.6, for example DATA.LOADER_THREADS"),
}

_GUESSES = 20  # what was meant by a key takes milliseconds to find, and whoever has so many wrong ones reads no more


def merge_yaml(root: CfgNode, schema: Schema, text: str, source: str, *, lines: bool) -> list[Problem]:
    """Merge YAML text. `source` names it in messages, with the line if `lines`. Raises ConfigError if it is no YAML."""
    entries, duplicates = load_entries(text, source, schema.sections.__contains__)
    places = [f"{source}, line {entry.line}" if lines else source for entry in entries]
    found = ((entry.name, entry.value, place) for entry, place in zip(entries, places, strict=True))
    return duplicates + _merge(root, schema, found)


def merge_pairs(root: CfgNode, schema: Schema, pairs: Sequence[object], source: str) -> list[Problem]:
    """Merge KEY, VALUE, KEY, VALUE, …"""
    keys = [str(key) for key in pairs[0::2]]
    problems = _merge(root, schema, ((key, value, source) for key, value in zip(keys, pairs[1::2], strict=False)))
    if len(pairs) % 2:
        problems.append(Problem(keys[-1], f"has no value; give KEY VALUE pairs ({source})"))
    return problems


def _merge(root: CfgNode, schema: Schema, entries: Iterable[tuple[str, object, str]]) -> list[Problem]:
    problems: list[Problem] = []
    for name, value, where in entries:
        problem = _unknown(schema, name, value, where, guess=len(problems) < _GUESSES)
        if problem is None:
            try:
                _set(root, name, checked(schema.keys[name], value))
            except Misfit as misfit:
                problem = Problem(name, f"{misfit} ({where})")
        if problem is not None:
            problems.append(problem)
    return problems


def checked(key: Key, value: object) -> Any:
    """The value as a key's type, within its range. Raises Misfit."""
    if key.type is Any:  # free notes, a list of them
        notes = read_text(value) if isinstance(value, str) else value
        return notes if isinstance(notes, list) else [notes]
    try:
        fitted = fit(value, key.type)
    except Misfit as misfit:
        example = f"; the default is {show(key.default)}" if key.default not in ("", (), [], None) else ""
        raise Misfit(f"{misfit}{example}") from None
    for number in numbers(fitted):
        least, most = key.limits(number)
        if not least <= number <= most:
            raise Misfit(f"{show(value)} is {_outside(number, least, most)}")
    return fitted


def _outside(number: float, least: float, most: float) -> str:
    if number < least:
        return f"too small; the least is {least:.10g}"
    if number > most and number != math.inf:
        return f"too large; the most is {most:.10g}"
    return "not a finite number"


def _unknown(schema: Schema, name: str, value: object, where: str, *, guess: bool) -> Problem | None:
    """Why this name is no key, or None if it is one. `guess`: whether to say which key was meant."""
    if not name:
        return Problem(where, f"gives {show(value)} to a key without a name; name it, for example MISC.SEED")
    if name in schema.keys:
        return None
    if name in schema.sections:
        example = next(key for key in schema.keys if key.startswith(f"{name}."))
        return Problem(name, f"is a section and cannot be {show(value)}; set its keys, for example {example} ({where})")
    top = name.partition(".")[0]
    if top in MOVED:
        place, message = MOVED[top]
        return UnknownKey(name, f"{message} ({where})", place)
    near = schema.nearest(name) if guess else None
    return UnknownKey(name, f"no such key{f', did you mean {near}?' if near else ''} ({where})", near)


def _set(root: CfgNode, name: str, value: Any) -> None:
    *path, last = name.split(".")
    for part in path:
        root = root[part]
    setattr(root, last, value)
