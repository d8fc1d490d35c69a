"""The list of reasons is closed: whatever the operator may give is in it, and readers find it in docs/reasons.md."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest
from harness.observing import SERVICE, begun, ended, pod_manifest, report, running, stands
from harness.timeless import NOON

from pet.runfiles.exits import ExitCode
from pet_operator.domain.decide import decide
from pet_operator.domain.policy.failure import attempt_end
from pet_operator.domain.reasons import ENDS, REASONS, reference
from pet_operator.domain.views import pod_view

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [
    *(ROOT / "operator/pet_operator/domain").rglob("*.py"),
    ROOT / "operator/pet_operator/runtime/executor.py",
]
WORD = re.compile(r"[A-Z][A-Za-z]*[a-z]|OOM")
# Words that are no reasons: names and values of fields, of Kubernetes and of ours, and types of failures.
OTHERS = {
    *("Pod", "Service", "ConfigMap", "PersistentVolumeClaim", "PetTrainingJob", "Event", "Node"),
    *("True", "False", "None", "All", "Auto", "Never", "Delete", "Memory", "Exists", "NotIn", "NoExecute"),
    *("ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany", "RuntimeDefault", "OnRootMismatch"),
    *("Ready", "PodScheduled", "PodReadyToStartContainers", "DisruptionTarget", "TerminationTarget"),
    *("Accepted", "CheckpointHealthy", "Finished", "Reconciling", "Stalled"),
    *(
        "ContainerCreating",
        "PodInitializing",
        "AlreadyExists",
        "OOMKilled",
        "PodDeleted",
        "InitContainer",
        "LabelRemoved",
    ),
}


def words(source: Path) -> set[str]:
    """Every whole text of a module that may be a reason."""
    nodes = list(ast.walk(ast.parse(source.read_text(encoding="utf-8"))))
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in parts]
    return {text for text in texts if isinstance(text, str) and WORD.fullmatch(text)}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_every_reason_in_the_code_is_in_the_list(source: Path) -> None:
    """A word that is no reason belongs into OTHERS."""
    assert words(source) - REASONS.keys() - OTHERS == set()


def test_every_warning_of_the_checks_is_in_the_list() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "trainer/pet/config").rglob("*.py"))
    given = set(re.findall(r'(?:JobWarning|_warn)\(\s*"(\w+)"', text))
    assert {"NotPersistent", "WarmUpTooLong", "KeyNotChecked"} <= given <= REASONS.keys()


def test_every_class_of_an_exit_is_in_the_list() -> None:
    assert {code.exit_class for code in ExitCode} <= ENDS.keys()


def test_the_document_is_up_to_date() -> None:
    assert (ROOT / "docs/reasons.md").read_text(encoding="utf-8") == reference(), "run: make generate"


def test_a_word_of_the_kubelet_that_is_not_in_the_list_is_said_in_the_message() -> None:
    for message, said in (("no", "job-1-0: SomethingNew: no"), ("", "job-1-0: SomethingNew")):
        waiting = {"waiting": {"reason": "SomethingNew", "message": message}}
        status = {"phase": "Pending", "containerStatuses": [{"name": "trainer", "state": waiting}]}
        view = begun(pods=(pod_view(pod_manifest(status=status)),), service=SERVICE)
        assert stands(decide(view, NOON).status) == ("Starting", "ContainerWaiting", said)


def test_a_class_of_a_launcher_that_is_not_in_the_list_is_the_type_of_what_its_exit_code_says() -> None:
    told = report(1) | {"class": "Exotic", "type": "", "message": "words"}
    view = replace(running(), pods=(ended(0, 1, told),))
    end = attempt_end(view, NOON, complete=True)
    assert end is not None
    assert (end.cause.class_, end.cause.type, end.cause.message) == ("AppError", "Exotic", "words")
