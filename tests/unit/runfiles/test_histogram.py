"""Histograms that go through JSON and add up over restarts."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pet.runfiles.histogram import Histogram

BOUNDS = (1.0, 5.0, 10.0)
VALUES = st.lists(st.floats(0, 100))


def of(*values: float) -> Histogram:
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    return histogram


def test_bounds_are_inclusive_and_what_is_above_them_is_counted() -> None:
    histogram = of(0.0, 1.0, 1.1, 5.0, 10.0, 10.5)
    assert histogram.counts == [2, 2, 1, 1]
    assert histogram.total == pytest.approx(27.6)


@given(first=VALUES, second=VALUES)
def test_sum_is_the_histogram_of_all_observations(first: list[float], second: list[float]) -> None:
    both, expected = of(*first) + of(*second), of(*first, *second)
    assert both.counts == expected.counts
    assert both.total == pytest.approx(expected.total)


def test_survives_the_way_through_a_file() -> None:
    assert Histogram(**{**asdict(of(3.0)), "bounds": list(BOUNDS)}) == of(3.0)


def test_sum_of_different_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="different bounds"):
        of(1.0) + Histogram((1.0, 2.0))
