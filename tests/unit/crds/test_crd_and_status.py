"""What the operator writes into the status fits the CustomResourceDefinition: the rest would be lost, or refused."""

from __future__ import annotations

from typing import Any

import jsonschema
from harness.crd import STATUS, Schema, closed, told

from pet_operator.domain.codec import decode, encode
from pet_operator.domain.status import JobStatus

# Fields of later parts of the operator.
NOT_WRITTEN_YET = {"restartRequested", "display.queue"}


def example(schema: Schema) -> Any:
    """An object with every field, each as its description shows it."""
    if "properties" in schema:
        return {name: example(field) for name, field in schema["properties"].items()}
    if "properties" in schema.get("items", {}):
        return [example(schema["items"])]
    return told(schema)[1]


def test_every_field_has_the_operator_s_name_and_type() -> None:
    shown = example(STATUS)
    jsonschema.validate(shown, closed(STATUS))
    for path in NOT_WRITTEN_YET:
        *sections, name = path.split(".")
        place = shown
        for section in sections:
            place = place[section]
        del place[name]
    assert encode(decode(JobStatus, shown)) == shown
