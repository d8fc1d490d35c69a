"""The reference of the resource that readers get is the one that the CustomResourceDefinition gives."""

from __future__ import annotations

import subprocess
import sys

from harness.crd import FILE, SPEC, fields

ROOT = FILE.parents[1]
DOCUMENT = (ROOT / "docs/resource.md").read_text(encoding="utf-8")


def test_the_document_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "hack/resource_reference.py")]
    assert subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout == DOCUMENT, (
        "run: make generate"
    )


def test_every_field_of_the_spec_is_in_it() -> None:
    assert [path for path, _ in fields(SPEC) if f"| `{path}` |" not in DOCUMENT] == []
