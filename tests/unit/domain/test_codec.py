"""Statuses as JSON and back, and what becomes of anything else that stands in their place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest
from harness.crd import STATUS, closed
from hypothesis import given, settings
from hypothesis import strategies as st

from pet_operator.domain.codec import camel, decode, encode, read_time, write_time
from pet_operator.domain.launcher import LauncherReport, LauncherStatus
from pet_operator.domain.status import (
    Accounting,
    AttemptRecord,
    CheckpointStatus,
    Condition,
    Display,
    Failure,
    Hang,
    JobStatus,
    LostSeconds,
    Nodes,
    Progress,
    RestartWindow,
    StateSeconds,
    ToldSeconds,
)

SCHEMA = jsonschema.Draft202012Validator(closed(STATUS))
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda t: t.replace(microsecond=0, tzinfo=UTC))
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    datetime: TIMES,
}


def made_of(form: type, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any value of a dataclass whose fields are plain or None, but for those that are known."""
    plain = {f"{kind.__name__}{optional}": kind for kind in PLAIN for optional in ("", " | None")}
    strategies = {}
    for each in fields(form):
        if each.name in known:
            strategies[each.name] = known[each.name]
        else:
            strategy = PLAIN[plain[str(each.type)]]
            strategies[each.name] = st.none() | strategy if "None" in str(each.type) else strategy
    return st.builds(form, **strategies)


CONDITIONS = made_of(Condition, status=st.sampled_from(["True", "False", "Unknown"]), type=TEXT.filter(bool))
PHASES = st.sampled_from(["", "Pending", "Starting", "Running", "Restarting", "Succeeded", "Failed"])
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "recent_restarts": st.lists(TIMES, max_size=3).map(tuple),
    "restart_window": made_of(RestartWindow),
    "nodes": made_of(Nodes),
    "progress": made_of(Progress, metrics=st.dictionaries(TEXT, TEXT, max_size=3)),
    "display": made_of(Display),
    "checkpoint": made_of(CheckpointStatus),
    "hang": made_of(Hang, ranks=st.lists(st.integers(0, 9), max_size=3).map(tuple)),
    "failure": made_of(Failure),
    "accounting": made_of(
        Accounting,
        lost_seconds=made_of(LostSeconds),
        gpu_seconds_by_state=made_of(StateSeconds),
        told=made_of(ToldSeconds),
    ),
    "attempts": st.lists(made_of(AttemptRecord), max_size=2).map(tuple),
    "conditions": st.lists(CONDITIONS, max_size=2).map(tuple),
}
WHOLE = made_of(JobStatus, phase=PHASES, **{name: st.just(getattr(JobStatus(), name)) for name in PARTS})
# One part at a time: all together are more values than hypothesis likes to draw.
STATUSES = WHOLE | st.one_of([st.builds(JobStatus, **{name: part}) for name, part in PARTS.items()])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("2026-01-31T12:00:00Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def junk_for(form: type) -> st.SearchStrategy[Any]:
    """Objects with the right names and anything under them."""
    names = st.sampled_from([camel(each.name) for each in fields(form)])
    return st.dictionaries(names, JSON | st.dictionaries(names, JSON, max_size=3), max_size=6) | JSON


@given(status=STATUSES)
def test_a_status_comes_back_as_it_was_and_fits_the_resource_s_schema(status: JobStatus) -> None:
    written = json.loads(json.dumps(encode(status)))
    assert decode(JobStatus, written) == status
    SCHEMA.validate(written)


@pytest.mark.parametrize("form", [JobStatus, LauncherStatus, LauncherReport])
@settings(max_examples=50)
@given(data=st.data())
def test_junk_falls_to_defaults_and_becomes_something_that_can_be_written(form: type, data: st.DataObject) -> None:
    read = decode(form, data.draw(junk_for(form)))
    written = json.dumps(encode(read), allow_nan=False)
    assert decode(form, json.loads(written)) == read


@dataclass(frozen=True)
class Inner:
    a: int = 1


@dataclass(frozen=True)
class Form:
    number: int = 0
    maybe: float | None = None
    some_words: str = ""
    flag: bool = False
    when: datetime | None = None
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    by_name: Mapping[str, float] = field(default_factory=dict)
    class_: str = ""


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("number", 3, 3),
        ("number", 3.0, None),
        ("number", "3", None),
        ("number", True, None),
        ("number", 2**63, None),
        ("maybe", 3, 3.0),
        ("maybe", True, None),
        ("maybe", float("nan"), None),
        ("maybe", float("inf"), None),
        ("maybe", 10**400, None),
        ("someWords", "a", "a"),
        ("someWords", 1, None),
        ("someWords", "\ud83d", "?"),
        ("some_words", "a", None),
        ("flag", True, True),
        ("flag", 1, None),
        ("when", "2026-01-31T13:00:00+01:00", NOON),
        ("when", "soon", None),
        ("when", 7, None),
        ("inner", {"a": 2}, Inner(2)),
        ("inner", {"a": "2", "b": 3}, Inner()),
        ("inner", [], None),
        ("many", [{"a": 2}, 5, {}], (Inner(2), Inner())),
        ("many", {"a": 2}, None),
        ("byName", {"a": 1, "b": "2", "c": None}, {"a": 1.0}),
        ("byName", [], None),
        ("class", "AppError", "AppError"),
        ("class_", "AppError", None),
        ("number", None, None),
    ],
)
def test_a_field_is_read_where_it_is_of_its_type_and_else_left_at_its_default(
    name: str, value: object, read: object
) -> None:
    form = decode(Form, {name: value})
    attribute = next(each.name for each in fields(Form) if camel(each.name) == camel(name))
    assert getattr(form, attribute) == (getattr(Form(), attribute) if read is None else read)


@pytest.mark.parametrize("value", [None, [], "text", 5])
def test_what_is_no_object_is_an_empty_one(value: object) -> None:
    assert decode(Form, value) == Form()


def test_nothing_is_written_of_what_is_empty() -> None:
    assert encode(Form()) == {"number": 0, "flag": False}
    assert encode(Form(inner=Inner(), many=(Inner(),), when=NOON)) == {
        "number": 0,
        "flag": False,
        "inner": {"a": 1},
        "many": [{"a": 1}],
        "when": "2026-01-31T12:00:00Z",
    }


def test_times_are_written_in_utc_to_the_second() -> None:
    there = timezone(timedelta(hours=2))
    assert write_time(datetime(2026, 1, 31, 14, 0, 0, 999_999, there)) == "2026-01-31T12:00:00Z"


@pytest.mark.parametrize("text", ["", "noon", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+01:00", None, 5])
def test_what_is_no_time_is_none(text: object) -> None:
    assert read_time(text) is None
