"""The CustomResourceDefinition and `pet.config.job` have the same fields, defaults and bounds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import jsonschema
import pytest
import yaml
from harness.crd import SAMPLES, SCHEMA, SPEC, Schema, closed, defaulted, fields
from harness.jobs import manifest

from pet.config.job import JobSpec, parse_job, read_job
from pet.config.job.model import _EDITABLE
from pet.config.job.workload import LAUNCHER_OPTIONS
from pet.config.scripts import PET_SCRIPTS
from pet_operator.domain.codec import camel

# Fields of the dataclasses that are no fields of the manifest.
DERIVED = {"metrics.portGiven"}
# Defaults that the schema leaves to the operator, with the reason.
NOT_IN_SCHEMA = {
    "procsPerNode": "the field excludes gpusPerNode, which is 1 by default",
}
# What else a manifest must say for a field to make sense.
COMPANIONS: dict[str, dict[str, Any]] = {
    "procsPerNode": {"gpusPerNode": 0},
    "data.readOnly": {"data": {"claimName": "c"}},
}


def dataclass_fields(form: Any, path: str = "") -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Every field of a dataclass and of those in it, with its dotted path in the manifest's spelling."""
    hints = get_type_hints(form)
    for field in dataclasses.fields(form):
        place = f"{path}.{camel(field.name)}" if path else camel(field.name)
        yield place, field
        for inner in (hints[field.name], *get_args(hints[field.name])):  # itself, or as an option
            if dataclasses.is_dataclass(inner):
                yield from dataclass_fields(inner, place)


def with_field(path: str, value: object) -> dict[str, Any]:
    """A manifest that is right but, perhaps, for one field."""
    spec: dict[str, Any] = {key: dict(entry) if isinstance(entry, dict) else entry
                            for key, entry in COMPANIONS.get(path, {}).items()}  # fmt: skip
    *sections, name = path.split(".")
    place = spec
    for section in sections:
        place = place.setdefault(section, {})
    place[name] = value
    return manifest(**spec)


def problem_fields(content: object) -> list[str]:
    return [problem.field for problem in parse_job(content)[1]]


def leaves_of_spec() -> dict[str, Schema]:
    return {path: field for path, field in fields(SPEC) if "properties" not in field}


def test_both_know_the_same_fields() -> None:
    in_template = {"template.metadata", "template.spec"}  # which pet.config.job hands on as they are
    known = {path for path, _ in dataclass_fields(JobSpec)} - DERIVED
    assert {path for path, _ in fields(SPEC)} - in_template == known


def test_the_reader_makes_the_same_of_a_job_with_the_defaults_of_the_schema() -> None:
    for content in (
        manifest(),
        manifest(gpusPerNode=0, data={"claimName": "c"}, sharedMemory={}, checkpoint={"volume": {"size": "1Gi"}}),
    ):
        spec = read_job(content | {"spec": defaulted(SPEC, content["spec"])}).spec
        assert dataclasses.replace(spec, metrics=JobSpec.metrics) == read_job(content).spec
        assert (spec.metrics.port, spec.metrics.per_rank) == (JobSpec.metrics.port, JobSpec.metrics.per_rank)


def test_every_default_of_the_reader_is_in_the_schema() -> None:
    declared = {path for path, field in fields(SPEC) if "default" in field}
    values = {
        path
        for path, field in dataclass_fields(JobSpec)
        if field.default not in (None, "", (), dataclasses.MISSING) and path not in DERIVED
    }
    stated_in_words = {"deadlines.stallSeconds", "checkpoint"}  # auto is None, and an absent section is an empty one
    assert declared - stated_in_words == values - set(NOT_IN_SCHEMA) - {"sharedMemory"}


@pytest.mark.parametrize("path", [path for path, field in leaves_of_spec().items() if field.get("type") == "integer"])
def test_whole_numbers_have_the_same_bounds(path: str) -> None:
    field = leaves_of_spec()[path]
    lowest, highest = field["minimum"], field["maximum"]
    for right in (lowest, highest):
        assert problem_fields(with_field(path, right)) == []
    for wrong in (lowest - 1, highest + 1):
        assert problem_fields(with_field(path, wrong)) == [f"spec.{path}"]


@pytest.mark.parametrize("path", ["cleanPods", "checkpoint.onDelete"])
def test_words_are_the_same(path: str) -> None:
    for word in leaves_of_spec()[path]["enum"]:
        assert problem_fields(with_field(path, word)) == []
    assert problem_fields(with_field(path, "other")) == [f"spec.{path}"]


def test_access_modes_and_types_are_the_same() -> None:
    modes = leaves_of_spec()["checkpoint.volume.accessModes"]["items"]["enum"]
    volume = {"size": "1Gi", "accessModes": modes}
    assert problem_fields(manifest(checkpoint={"volume": volume})) == []
    volume["accessModes"] = [*modes, "ReadOnlyMany"]
    assert problem_fields(manifest(checkpoint={"volume": volume})) == ["spec.checkpoint.volume.accessModes"]
    assert set(leaves_of_spec()["type"]["enum"]) == set(PET_SCRIPTS)


def test_the_launcher_s_options_are_the_same() -> None:
    rules = leaves_of_spec()["scriptArgs"]["x-kubernetes-validations"]
    assert set(re.findall(r"'(--\w+)'", rules[0]["rule"])) == set(LAUNCHER_OPTIONS)
    for target in LAUNCHER_OPTIONS.values():
        assert not target.startswith("spec.") or target in rules[0]["message"]


def test_each_field_of_the_spec_is_fixed_or_editable_while_a_job_runs() -> None:
    rules = [rule for rule in SCHEMA["x-kubernetes-validations"] if "oldSelf" in rule["rule"]]
    whole, checkpoint, *never = rules
    editable = {camel(name) for name in _EDITABLE if "." not in name}
    fixed = {name for name in re.findall(r"'(\w+)'", whole["rule"]) if name not in ("Suspended", "Failed")}
    assert fixed == set(SPEC["properties"]) - editable - {"checkpoint", "managedBy"}
    inner = {name for name in re.findall(r"'(\w+)'", checkpoint["rule"]) if name not in ("Suspended", "Failed")}
    assert inner == set(SPEC["properties"]["checkpoint"]["properties"]) - {"keep", "volume", "onDelete", "path"}
    assert [rule["fieldPath"] for rule in never] == [
        f".spec.checkpoint.{name}" for name in ("volume", "onDelete", "path")
    ]
    assert not any("phase" in rule["rule"] for rule in never)
    for rule in (whole, checkpoint):  # the message names those that the rule has found
        listed = re.compile(r"\['\w+'(?:, '\w+')*\]\s*\.(?:all|filter)")
        found = [re.findall(r"'\w+'", match[0]) for match in listed.finditer(rule["rule"] + rule["messageExpression"])]
        assert len(found) == 2
        assert found[0] == found[1]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_sample_fits_the_schema(sample: Any) -> None:
    for document in yaml.safe_load_all(sample.read_text(encoding="utf-8")):
        jsonschema.validate(document["spec"], closed(SPEC))
