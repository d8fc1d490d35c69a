"""Pods on a process node start, end and go as pods on a kubelet do."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from testbed.pods import Pods, alive, pid, pod, state
from testbed.process_node.shim import descendants
from testbed.waiting import wait_for

HELD = {"finalizers": ["test/held"]}  # a deleted pod stays, and shows what is said of its end
TRAP = "trap 'printf saved >/dev/termination-log; exit 7' TERM; echo ready; while :; do sleep 0.02; done"
DEAF = "trap '' TERM; echo ready; while :; do sleep 0.02; done"
# Children in the same session, in another, and one that nobody is the parent of.
FAMILY = "sleep 1000 & setsid sleep 1000 & (setsid sleep 1000 &); echo ready; "


def held(manifest: dict[str, Any]) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], **HELD}}


def conditions(found: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {entry["type"]: (entry["status"], entry.get("reason")) for entry in found["status"]["conditions"]}


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def family(running: dict[str, Any]) -> set[int]:
    """The lasting processes of a pod with a FAMILY: the first one and three sleepers."""
    first = pid(running)

    def look() -> set[int]:
        sleepers = {process for process in descendants(parent(first)) if command(process) == "sleep 1000"}
        return {first, *sleepers} if len(sleepers) == 3 else set()

    return wait_for("the pod's family", look)


def command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().rstrip("\0").replace("\0", " ")
    except OSError:  # it has ended since
        return ""


def test_a_pod_runs_and_succeeds(pods: Pods) -> None:
    running = pods.start(pod("p", "until [ -e $HOME/go ]; do sleep 0.02; done"))
    status = running["status"]
    assert status["podIP"].startswith("127.")
    assert status["podIP"] != status["hostIP"]
    assert status["startTime"]
    assert status["containerStatuses"][0]["ready"]
    assert conditions(running) == {
        "PodReadyToStartContainers": ("True", None),
        "PodScheduled": ("True", None),
        "Initialized": ("True", None),
        "ContainersReady": ("True", None),
        "Ready": ("True", None),
    }
    (pods.folder(running) / "home" / "go").touch()

    over = pods.over("p")
    assert over["status"]["phase"] == "Succeeded"
    ended = state(over)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert ended["startedAt"] == state(running)["running"]["startedAt"]
    assert ended["startedAt"] <= ended["finishedAt"]
    assert conditions(over)["Ready"] == ("False", "PodCompleted")
    assert conditions(over)["PodScheduled"] == ("True", None)


@pytest.mark.parametrize(
    ("script", "code", "message", "policy"),
    [
        ("printf why >/dev/termination-log; exit 3", 3, "why", "File"),
        ("echo only in the log; exit 4", 4, None, "File"),
        ("echo a reason; exit 4", 4, "a reason\n", "FallbackToLogsOnError"),
        ("echo no reason", 0, None, "FallbackToLogsOnError"),
        ("kill -9 $$$$", 137, None, "File"),
        ("kill -TERM $$$$", 143, None, "File"),
    ],
)
def test_exit_codes_and_termination_messages(
    pods: Pods, script: str, code: int, message: str | None, policy: str
) -> None:
    over = pods.run(pod("p", script, container={"terminationMessagePolicy": policy}))
    ended = state(over)["terminated"]
    assert (ended["exitCode"], ended.get("message")) == (code, message)
    phase, reason = ("Failed", "Error") if code else ("Succeeded", "Completed")
    assert (over["status"]["phase"], ended["reason"]) == (phase, reason)


def test_the_termination_message_may_be_elsewhere(pods: Pods) -> None:
    manifest = pod("p", "printf here >/out/why", container={"terminationMessagePath": "/out/why"})
    assert state(pods.run(manifest))["terminated"]["message"] == "here"


def test_a_program_that_is_not_there_is_a_start_error(pods: Pods) -> None:
    over = pods.run(pod("p", "", container={"command": ["no-such-program"]}))
    ended = state(over)["terminated"]
    assert (over["status"]["phase"], ended["exitCode"], ended["reason"]) == ("Failed", 128, "StartError")
    assert 'exec: "no-such-program": No such file or directory' in ended["message"]


def test_a_pod_that_asks_for_too_much_fails_and_says_why(pods: Pods) -> None:
    manifest = pod("p", "true")
    manifest["spec"]["containers"].append({"name": "second", "image": "any", "command": ["true"]})
    status = pods.run(manifest)["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "NotSupported")
    assert status["message"] == "a process node runs pods with one container; this one has 2"


def test_init_containers_run_before_it_in_order(pods: Pods) -> None:
    init = [
        {"name": name, "image": "any", "command": ["sh", "-c", f"echo {name} >>/work/order"]} for name in ("one", "two")
    ]
    volume = {"volumes": [{"name": "work", "emptyDir": {}}]}
    mounts = [{"name": "work", "mountPath": "/work"}]
    manifest = pod("p", "cat /work/order", container={"volumeMounts": mounts}, **volume)
    manifest["spec"]["initContainers"] = [{**container, "volumeMounts": mounts} for container in init]
    assert pods.output(manifest) == "one\ntwo\n"


def test_a_failing_init_container_fails_the_pod(pods: Pods) -> None:
    init = {"name": "first", "image": "any", "command": ["sh", "-c", "exit 5"]}
    over = pods.run(pod("p", "true", initContainers=[init]))
    assert over["status"]["phase"] == "Failed"
    assert over["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 5
    assert state(over)["waiting"]["reason"] == "PodInitializing"
    assert conditions(over)["Initialized"] == ("False", "ContainersNotInitialized")


def test_a_deleted_pod_may_end_by_itself(pods: Pods) -> None:
    pods.start(held(pod("p", TRAP, terminationGracePeriodSeconds=600)), says="ready")
    pods.delete("p")
    ended = state(pods.over("p"))["terminated"]
    assert (ended["exitCode"], ended["message"]) == (7, "saved")
    pods.namespace.release("pods", "p")
    pods.gone("p")


def test_one_that_is_deaf_to_sigterm_is_killed_with_all_its_processes(pods: Pods) -> None:
    running = pods.start(held(pod("p", FAMILY + DEAF, terminationGracePeriodSeconds=1)), says="ready")
    processes = family(running)
    pods.delete("p")
    assert state(pods.over("p"))["terminated"]["exitCode"] == 137
    assert not [process for process in processes if alive(process)]
    pods.namespace.release("pods", "p")


def test_a_second_deletion_may_shorten_the_time(pods: Pods) -> None:
    pods.start(pod("p", DEAF, terminationGracePeriodSeconds=600), says="ready")
    pods.delete("p")
    pods.delete("p", grace=1)
    pods.gone("p")


def test_a_pod_that_is_removed_by_force_leaves_nothing(pods: Pods) -> None:
    running = pods.start(pod("p", FAMILY + DEAF), says="ready")
    processes = family(running)
    pods.delete("p", grace=0)
    assert pods.namespace.get("pods", "p") is None
    wait_for("the end of its processes", lambda: not any(alive(process) for process in processes))
    folder = pods.folder(running)
    wait_for("the end of its folder", lambda: not folder.exists())


def test_a_namesake_may_follow_a_pod_that_was_removed_by_force(pods: Pods) -> None:
    running = pods.start(pod("p", DEAF), says="ready")
    pods.delete("p", grace=0)
    over = pods.run(pod("p", "echo another"))
    assert pods.nodes.log(over) == "another\n"
    assert over["status"]["podIP"] != running["status"]["podIP"]
    wait_for("the end of the first one's process", lambda: not alive(pid(running)))
    wait_for("the end of its folder", lambda: not pods.folder(running).exists())
    assert over == pods.namespace.get("pods", "p")


def test_what_outlives_the_first_process_is_killed_when_that_ends(pods: Pods) -> None:
    running = pods.start(pod("p", FAMILY + "until [ -e $HOME/go ]; do sleep 0.02; done"), says="ready")
    processes = family(running)
    (pods.folder(running) / "home" / "go").touch()
    assert pods.over("p")["status"]["phase"] == "Succeeded"
    assert not [process for process in processes if alive(process)]


@pytest.mark.parametrize("victim", ["first process", "shim"])
def test_a_killed_container_fails_with_137(pods: Pods, victim: str) -> None:
    running = pods.start(pod("p", FAMILY + DEAF), says="ready")
    processes = family(running)
    os.kill(pid(running) if victim == "first process" else parent(pid(running)), signal.SIGKILL)
    over = pods.over("p")
    assert state(over)["terminated"]["exitCode"] == 137
    assert not [process for process in processes if alive(process)]


def test_a_pod_that_waits_for_its_configuration_can_be_deleted(pods: Pods) -> None:
    volume = {"name": "v", "configMap": {"name": "absent"}}
    pods.namespace.create("pods", pod("p", "true", volumes=[volume]))
    wait_for("a warning", lambda: [e for e in pods.namespace.all("events") if e["reason"] == "FailedMount"])
    pods.delete("p")
    pods.gone("p")


def test_it_starts_when_its_configuration_comes(pods: Pods) -> None:
    reference = {"name": "WORD", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "word"}}}
    pods.namespace.create("pods", pod("p", 'test "$WORD" = here', container={"env": [reference]}))
    waiting = pods.namespace.wait_for(
        "pods", "p", "waiting", lambda found: state_reason(found) == "CreateContainerConfigError"
    )
    assert state(waiting)["waiting"]["message"] == 'configmap "late" not found'
    pods.namespace.create("configmaps", {"metadata": {"name": "late"}, "data": {"word": "here"}})
    assert pods.over("p")["status"]["phase"] == "Succeeded"


def state_reason(found: dict[str, Any]) -> str | None:
    return (state(found).get("waiting") or {}).get("reason") if "containerStatuses" in found["status"] else None
