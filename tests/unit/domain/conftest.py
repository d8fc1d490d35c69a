"""What is decided is computed: none of these tests has anything to wait for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            examples = is_hypothesis_test(getattr(item, "obj", None))
            item.add_marker(pytest.mark.timeout(300 if examples else 60))
