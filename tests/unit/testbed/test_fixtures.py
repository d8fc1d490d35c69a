"""How long the fixtures of the tests live."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]


def test_no_fixture_claims_to_end_with_a_folder() -> None:
    """Folders without an `__init__.py` are no packages to pytest, which keeps such a fixture until the very end: an
    operator was at work in whatever tests came next."""
    places = [path for path in TESTS.rglob("*.py") if path != Path(__file__)]
    assert [str(path) for path in places if 'scope="package"' in path.read_text(encoding="utf-8")] == []
