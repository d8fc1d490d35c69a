"""The CustomResourceDefinition of the checkout: its schema, every field of it, and what its defaults do."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parents[2] / "crds/pettrainingjobs.yaml"
SAMPLES = sorted(FILE.parent.glob("samples/*.yaml"))

Schema = dict[str, Any]

DEFINITION: Schema = yaml.safe_load(FILE.read_text(encoding="utf-8"))
VERSION: Schema = DEFINITION["spec"]["versions"][0]
SCHEMA: Schema = VERSION["schema"]["openAPIV3Schema"]
SPEC: Schema = SCHEMA["properties"]["spec"]
STATUS: Schema = SCHEMA["properties"]["status"]

_LAST_PARAGRAPH = re.compile(r"(?:Default: (?P<default>.*)\. )?Example: (?P<example>.*)", re.DOTALL)


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every field below a schema with its dotted path; `[]` stands for the entries of a list."""
    for name, field in schema.get("properties", {}).items():
        place = f"{path}.{name}" if path else name
        yield place, field
        yield from fields(field, place)
        yield from fields(field.get("items", {}), f"{place}[]")


def told(field: Schema) -> tuple[object, object]:
    """Default and example as a description gives them, None for no default. Raises ValueError without an example."""
    match = _LAST_PARAGRAPH.fullmatch(field["description"].rpartition("\n")[2])
    if match is None:
        raise ValueError(f"no example at the end of: {field['description']}")
    return (yaml.safe_load(match["default"]) if match["default"] else None), yaml.safe_load(match["example"])


def defaulted(schema: Schema, content: Mapping[str, Any]) -> dict[str, Any]:
    """An object as the API server completes it."""
    result = dict(content)
    for name, field in schema.get("properties", {}).items():
        if name not in result and "default" in field:
            result[name] = copy.deepcopy(field["default"])
        if isinstance(result.get(name), dict):
            result[name] = defaulted(field, result[name])
    return result


def closed(schema: Schema) -> Schema:
    """The schema for jsonschema: it has no `x-kubernetes-*`, and refuses fields that Kubernetes does not know of."""
    result = {key: value for key, value in schema.items() if not key.startswith("x-")}
    if "properties" in schema:
        result["properties"] = {name: closed(field) for name, field in schema["properties"].items()}
        result["additionalProperties"] = False
    if "items" in schema:
        result["items"] = closed(schema["items"])
    return result
