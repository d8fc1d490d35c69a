"""The operator's rights are those that it uses: each is used here, and what it is not granted it does not ask for."""

from __future__ import annotations

import json

import yaml
from harness.cluster import Jobs, Requests, job, what
from harness.stage import Stage
from harness.training import CFG, ROOT
from testbed.operator import Operator
from testbed.waiting import wait_for

from pet_operator.domain import names
from pet_operator.domain.constants import LABEL_JOB, LABEL_MANAGED_BY, MANAGED_BY

CONFIG = (ROOT / CFG).read_text()
RULES = sorted((ROOT / "helm" / "pet-operator" / "files").glob("*-rules.yaml"))
# Never a request: where the API server asks who may block a deletion by an owner reference, this right is looked at.
NOT_ASKED_FOR = {"update pettrainingjobs/finalizers"}


def granted() -> set[str]:
    """`<verb> <resource>`, of all rules."""
    rules = [rule for path in RULES for rule in yaml.safe_load(path.read_text())]
    return {f"{verb} {plural}" for rule in rules for plural in rule["resources"] for verb in rule["verbs"]}


def test_every_right_is_used_and_no_other_is_missed(stage: Stage, played: Jobs) -> None:
    requests = Requests(stage.plane)
    stage.plane.request("DELETE", "/apis/coordination.k8s.io/v1/namespaces/pet-operator/leases")
    namespace = played.namespace
    namespace.create("services", {"metadata": {"name": "service"}, "spec": {"ports": [{"port": 1}]}})
    namespace.create("configmaps", {"metadata": {"name": names.config_map("config", CONFIG)}})
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    namespace.create("persistentvolumeclaims", {"metadata": {"name": "claim-checkpoints"}, "spec": spec})
    labels = {LABEL_JOB: "job", LABEL_MANAGED_BY: MANAGED_BY}  # of a deleted job of this name, which left it
    left = {"name": "job-checkpoints", "labels": labels}
    namespace.create("persistentvolumeclaims", {"metadata": left, "spec": spec | {"accessModes": ["ReadWriteMany"]}})
    pod = {"containers": [{"name": "main", "image": "any"}], "schedulerName": "nobody"}
    namespace.create("pods", {"metadata": {"name": "pod-1-0"}, "spec": pod})

    with Operator(stage.plane):
        taken = {
            "service": {},
            "config": {"config": CONFIG},
            "claim": {"checkpoint": {"volume": {"size": "1Gi"}}},
            "pod": {},
        }
        played.apply(*(job(name, **fields) for name, fields in taken.items()))
        for name in taken:
            played.wait(name, "refused", lambda status: "NameTaken" in status.get("reason", ""))
        played.apply(job("job", nodes=2, config=CONFIG, checkpoint={"volume": {"size": "1Gi"}}))
        played.reaches("job", "Running")
        stage.end(played, "job-1-1", 78)
        played.reaches("job", "Failed")  # through one pod: the other is deleted
        wait_for("its deletion", lambda: len(played.pods("job")) == 1)
        played.apply(job("edited", suspend=True, config=CONFIG))
        for spec in ({"suspend": False}, {"suspend": True}, {"suspend": False, "config": f"{CONFIG}# edited\n"}):
            played.kubectl("patch", "ptj", "edited", "--type", "merge", "-p", json.dumps({"spec": spec}))
            played.reaches("edited", "Suspended" if spec["suspend"] else "Running")
        kept = names.config_map("edited", f"{CONFIG}# edited\n")
        wait_for("the end of the old one", lambda: f"edited-config-{kept[-8:]}" in played.objects()["configmaps"])
        assert [name for name in played.objects()["configmaps"] if name.startswith("edited")] == [kept]
        played.kubectl("patch", "ptj", "job", "--type", "merge", "-p", '{"spec": {"ttlSecondsAfterFinished": 0}}')
        wait_for("the end of its time to live", lambda: "/job\n" not in played.kubectl("get", "ptj", "-o", "name"))

    assert requests.refused() == []
    assert {what(event) for event in requests.all()} == granted() - NOT_ASKED_FOR
