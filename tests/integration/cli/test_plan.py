"""The objects of `pet plan` are ones that a real API server takes."""

from __future__ import annotations

import json
import uuid

import pytest
from harness.commands import pet
from harness.crd import SAMPLES
from testbed.kubectl import Kubectl


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_the_objects_of_a_sample_are_valid(sample: object, kubectl: Kubectl) -> None:
    objects = json.loads(pet("plan", "-f", str(sample), "-o", "json").out)["objects"]
    for content in objects:
        for owner in content["metadata"].get("ownerReferences", ()):
            owner["uid"] = str(uuid.uuid4())  # only the cluster knows it
    content = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    answer = kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", content=content)
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == len(objects)
