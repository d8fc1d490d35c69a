"""The configuration reference for readers, from the declarations. `python -m pet.config.reference` prints it.

`docs/configuration.md` is its output, which a test holds against the declarations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby

from pet.config.defaults import SCRIPTS, common, schema
from pet.config.rules import NOT_AVAILABLE_YET
from pet.config.schema import FINITE, Key, Schema
from pet.config.values import describe

_HEAD = """# Configuration keys

Written by `python -m pet.config.reference`; do not edit.

A value is the default, unless the file sets it, unless the command line does (`KEY VALUE`). "ours": the original Pet
does not document this key or its default, so the choice is this project's. An unknown key, a value of another type and
a key whose feature is not built yet are errors, all of a file at once.
"""


def reference() -> str:
    """Markdown: one table per section for the keys of all scripts, then what each script adds or changes."""
    every = Schema("every script", common.KEYS).keys
    parts = [_HEAD, *_part("Every script", {}, every)]
    for script in SCRIPTS:
        parts += _part(f"Added or changed by `{script}`", every, schema(script).keys)
    return "\n".join(parts)


def _part(title: str, base: Mapping[str, Key], keys: Mapping[str, Key]) -> Iterator[str]:
    """What `keys` has that `base` has not, or has otherwise."""
    own = {name: key for name, key in keys.items() if base.get(name) != key}
    yield f"## {title}\n"
    for section, names in groupby(own, key=lambda name: name.partition(".")[0]):
        yield f"### {section}\n\n| key | default | type | |\n| --- | --- | --- | --- |"
        yield from (_row(name, own[name]) for name in names)
        yield ""


def _row(name: str, key: Key) -> str:
    comment = key.comment + ("; **not available yet**" if name in NOT_AVAILABLE_YET else "")
    type_ = describe(key.type) + _range(key)
    return f"| `{name}` | `{json.dumps(key.default)}` | {type_} | {comment.replace('|', chr(92) + '|')} |"


def _range(key: Key) -> str:
    limits = [f"from {key.minimum:.10g}"] if key.minimum > -FINITE else []
    limits += [f"to {key.maximum:.10g}"] if key.maximum < FINITE else []
    return f", {' '.join(limits)}" if limits else ""


if __name__ == "__main__":
    print(reference(), end="")
