"""What `kubectl explain` and `kubectl get` show of the CustomResourceDefinition."""

from __future__ import annotations

import jsonschema
import pytest
from harness.crd import DEFINITION, SCHEMA, SPEC, STATUS, VERSION, Schema, closed, fields, told

from pet.config.job import API_VERSION, KIND

FIELDS = [(path, field) for path, field in fields(SCHEMA) if path.startswith(("spec", "status"))]


def test_it_defines_the_kind_that_the_job_file_names() -> None:
    names, version = DEFINITION["spec"]["names"], VERSION["name"]
    assert f"{DEFINITION['spec']['group']}/{version}" == API_VERSION
    assert names["kind"] == KIND
    assert DEFINITION["metadata"]["name"] == f"{names['plural']}.{DEFINITION['spec']['group']}"


@pytest.mark.parametrize(("path", "field"), FIELDS, ids=[path for path, _ in FIELDS])
def test_a_field_is_described_with_its_default_and_an_example_that_it_would_take(path: str, field: Schema) -> None:
    default, example = told(field)
    jsonschema.validate(example, closed(field))
    if field.get("default") != {}:
        assert default == field.get("default")
    if "default" in field:
        jsonschema.validate(field["default"], closed(field))


def test_every_rule_has_a_message_of_its_own() -> None:
    schemas = [SCHEMA, *(schema for _, field in FIELDS for schema in (field, field.get("items", {})))]
    rules = [rule for schema in schemas for rule in schema.get("x-kubernetes-validations", ())]
    assert rules
    assert [rule for rule in rules if not ("message" in rule or "messageExpression" in rule)] == []


def test_only_what_a_job_needs_is_required() -> None:
    assert (SCHEMA["required"], SPEC["required"]) == (["spec"], ["cfg"])
    assert [path for path, field in FIELDS if "required" in field] == ["spec", "spec.data"]


def test_no_part_of_the_status_is_owned_field_by_field() -> None:
    """Each such field is stored twice, and read twice at each write."""
    parts = [part.get("items", part) if part.get("x-kubernetes-list-type") == "map" else part
             for part in STATUS["properties"].values()]  # fmt: skip
    objects = [part for part in parts if part["type"] == "object"]
    assert len(objects) > 5
    assert {part.get("x-kubernetes-map-type") for part in objects} == {"atomic"}


def test_the_table_of_kubectl_get_has_the_promised_columns() -> None:
    columns = VERSION["additionalPrinterColumns"]
    narrow = [column["name"].upper() for column in columns if not column.get("priority")]
    wide = [column["name"].upper() for column in columns if column.get("priority")]
    assert narrow == ["STATE", "STEP", "ETA", "LOSS", "CKPT", "RESTARTS", "AGE"]
    assert wide == ["SCRIPT", "WORLD", "MESSAGE"]


def test_columns_show_fields_of_the_status() -> None:
    known = {path for path, _ in fields(STATUS, "status")} | {"metadata.creationTimestamp"}
    assert [
        column["jsonPath"] for column in VERSION["additionalPrinterColumns"] if column["jsonPath"][1:] not in known
    ] == []
