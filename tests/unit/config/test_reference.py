"""The configuration reference that readers get is the one that the declarations give."""

from __future__ import annotations

from pathlib import Path

from pet.config.defaults import SCRIPTS, schema
from pet.config.reference import reference

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "configuration.md"


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == reference(), "run: make generate"


def test_every_key_of_every_script_is_in_it() -> None:
    text = reference()
    assert [name for script in SCRIPTS for name in schema(script).keys if f"| `{name}` |" not in text] == []
