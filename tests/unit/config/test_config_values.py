"""Fitting what a user wrote to a key's declared type."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pet.config.values import Misfit, fit, read_text, write_text

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1e-4", 1e-4),
        ("true", True),
        ("True", True),
        ("null", None),
        ("None", None),
        ("[1, 2]", [1, 2]),
        ("(1, 2)", (1, 2)),
        ("('a',)", ("a",)),
        ('{"a": 1}', {"a": 1}),
        ('"quoted"', "quoted"),
        ("plain text", "plain text"),
        ("cfgs/a.yaml", "cfgs/a.yaml"),
        ("", ""),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_text_is_read_as_json_then_as_a_python_literal_then_as_itself(text: str, value: object) -> None:
    assert read_text(text) == value


@given(json_values)
def test_a_value_that_is_written_as_text_is_read_back(value: object) -> None:
    assert read_text(write_text(value)) == value


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (3, int, 3),
        ("3", int, 3),
        (3, float, 3.0),
        ("1e-4", float, 1e-4),
        ("1.", float, 1.0),
        (True, bool, True),
        ("False", bool, False),
        ("text", str, "text"),
        ("123", str, "123"),
        ("'quoted'", str, "quoted"),
        (None, int | None, None),
        ("None", int | None, None),
        (3, float | None, 3.0),
        ([1, 2], tuple[float, ...], (1.0, 2.0)),
        ((1, 2), list[int], [1, 2]),
        ('("a", "b")', tuple[str, ...], ("a", "b")),
        (["1e-4"], tuple[float, ...], (1e-4,)),
        ([[1, 2], [3, 4]], tuple[tuple[int, int], ...], ((1, 2), (3, 4))),
        ([{"type": "m:C"}], list[dict[str, Any]], [{"type": "m:C"}]),
        ("auto", bool | Literal["auto"], "auto"),
        ("true", bool | Literal["auto"], True),
        ("'SGD'", Literal["SGD", "ADAM"], "SGD"),
        ("3", Literal[1, 3], 3),
        ({"any": ["thing"]}, Any, {"any": ["thing"]}),
    ],
)
def test_a_fitting_value_gets_the_declared_type(value: object, form: Any, expected: object) -> None:
    fitted = fit(value, form)
    assert fitted == expected
    assert type(fitted) is type(expected)


@pytest.mark.parametrize(
    ("value", "form", "message"),
    [
        ("fast", float, "'fast' is not a number"),
        (True, float, "True is not a number"),
        (10**400, float, "is not a number"),
        (1e3, int, "1000.0 is not a whole number; write 1000"),
        (True, int, "True is not a whole number"),
        (1, bool, "1 is not true or false; write true"),
        (0, bool, "0 is not true or false; write false"),
        (0.7, str, "0.7 is not text; put it in quotes"),
        (None, str, 'None is not text; give "" for none'),
        ("None", str, "'None' is not text; give \"\" for none"),
        ("cosine", Literal["STEP", "COSINE"], "'cosine' is not one of STEP, COSINE, did you mean COSINE?"),
        (True, Literal["1"], "True is not one of 1"),
        ("x", int | None, "'x' is not a whole number or None"),
        (3, tuple[int, ...], "3 is not a list, each entry a whole number"),
        (["a"], tuple[int, ...], "'a' is not a whole number"),
        ([1, 2, 3], tuple[int, int], "has 3 entries, not 2"),
        ({"a": 1}, list[int], "is not a list, each entry a whole number"),
        (["a"], list[dict[str, Any]], "'a' is not a mapping"),
    ],
)
def test_a_value_that_does_not_fit_is_shown_with_what_would(value: object, form: Any, message: str) -> None:
    with pytest.raises(Misfit) as caught:
        fit(value, form)
    assert message in str(caught.value)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(Misfit) as caught:
        fit("x" * 10_000, int)
    assert len(str(caught.value)) < 200


def test_infinity_is_a_number() -> None:
    assert fit(math.inf, float) == math.inf
