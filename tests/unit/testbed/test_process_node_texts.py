"""How a process node rewrites the texts of a pod: paths and references to variables."""

from __future__ import annotations

import pytest
from testbed.process_node.expansion import expand
from testbed.process_node.paths import Paths

PATHS = Paths(
    {
        "/checkpoints": "/bed/claim",
        "/data": "/bed/data",
        "/data/coco/": "/bed/coco",
        "/dev/termination-log": "/bed/message",
        "/bed": "/elsewhere",
        "tools": "/checkout/trainer/tools",
    }
)


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("/checkpoints", "/bed/claim"),
        ("/checkpoints/job/x.pth", "/bed/claim/job/x.pth"),
        ("--dir=/checkpoints/job", "--dir=/bed/claim/job"),
        ("a:/data:/checkpoints", "a:/bed/data:/bed/claim"),
        ("cp /data/a /checkpoints; ls /data", "cp /bed/data/a /bed/claim; ls /bed/data"),
        ("open('/data/a'),\"/data\"", "open('/bed/data/a'),\"/bed/data\""),
        ("echo >/dev/termination-log", "echo >/bed/message"),
        ("/data/coco/train", "/bed/coco/train"),  # the longest path wins
        ("/data/coconut", "/bed/data/coconut"),
        ("tools/train_net_all.py", "/checkout/trainer/tools/train_net_all.py"),
    ],
)
def test_paths_of_the_container_are_replaced(text: str, replaced: str) -> None:
    assert PATHS.replace(text) == replaced


@pytest.mark.parametrize(
    "text",
    [
        "/checkpoints2",
        "/checkpoints.old",
        "/checkpoints-old/x",
        "/mnt/checkpoints",
        "/opt/data/x",
        "file:///data/x",
        "my/tools/x",
        "tools",
        "mytools/x",
        "",
    ],
)
def test_other_paths_stay(text: str) -> None:
    assert PATHS.replace(text) == text


def test_without_places_nothing_is_replaced() -> None:
    assert Paths({}).replace("/data") == "/data"


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("$(A)$(B)/$(A)", "1two/1"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(UNKNOWN) $A ${A} $", "$(UNKNOWN) $A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
    ],
)
def test_references_to_variables_are_expanded(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "B": "two"}) == expanded
