"""What real launchers told once, for the operator's tests, is what they tell today: else `make record`."""

from __future__ import annotations

import json

import jsonschema
import pytest
from harness.launcher import ROOT
from harness.recording import RECORDED, recorded

from pet.launch.termination import termination_message
from pet.launch.verdict import Verdict
from pet.runfiles.exits import ExitCode

SCHEMA = json.loads((ROOT / "crds/status.schema.json").read_text(encoding="utf-8"))
NAMES = sorted(path.stem for path in RECORDED.glob("*.json"))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("status-")])
def test_a_reply_has_all_that_the_schema_has(name: str) -> None:
    document = recorded(name)
    jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert set(document) == set(SCHEMA["properties"])
    for kind, entries in {"rank": document["ranks"], "failure": document["failures"]}.items():
        assert all(set(entry) == set(SCHEMA["$defs"][kind]["properties"]) for entry in entries)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("termination-")])
def test_a_termination_message_has_all_fields(name: str) -> None:
    today = json.loads(termination_message(Verdict.plain(ExitCode.PREEMPTED, "left"), None, None))
    assert list(recorded(name)) == list(today)
