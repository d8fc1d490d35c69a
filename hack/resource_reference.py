"""The fields of a PetTrainingJob for readers, from its CustomResourceDefinition: docs/resource.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEFINITION = Path(__file__).resolve().parents[1] / "crds/pettrainingjobs.yaml"

_HEAD = """# The PetTrainingJob

Written by `make generate` from `crds/pettrainingjobs.yaml`; do not edit. `kubectl explain ptj.spec` shows the same.
"""


def reference(definition: dict[str, Any]) -> str:
    """Markdown: one table for the fields of the spec, one for those of the status."""
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    parts = [_HEAD, _text(schema), ""]
    for section in ("spec", "status"):
        field = schema["properties"][section]
        parts += [f"## {section}", "", _text(field), "", "| field | type | default | |", "| --- | --- | --- | --- |"]
        parts += [*_rows(field, ""), ""]
    return "\n".join(parts)


def _rows(schema: dict[str, Any], prefix: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        yield f"| `{prefix}{name}` | {_type(field)} | {_default(field)} | {_text(field)} |"
        yield from _rows(field, f"{prefix}{name}.")
        yield from _rows(field.get("items", {}), f"{prefix}{name}[].")


def _text(field: dict[str, Any]) -> str:
    """The description with its example as code; the default has a column."""
    text, _, last = field["description"].partition("\n")
    example = last.partition("Example: ")[2]
    return f"{text} Example: `{example}`".replace("<", "&lt;").replace("|", "\\|")


def _default(field: dict[str, Any]) -> str:
    """Empty for a section, whose fields have the defaults."""
    default = field.get("default")
    return f"`{str(default).lower() if isinstance(default, bool) else default}`" if default not in (None, {}) else ""


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return "one of " + ", ".join(field["enum"])
    if field.get("type") == "array":
        return f"list: {_type(field['items'])}"
    if "maximum" in field:
        return f"integer, {field['minimum']} to {field['maximum']}"
    return field.get("type") or ("integer or string" if "x-kubernetes-int-or-string" in field else "any")


if __name__ == "__main__":
    print(reference(yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))), end="")
