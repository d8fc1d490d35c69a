"""Two launchers on one machine, ranks in a real gloo group, over torch's c10d rendezvous."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from harness.launcher import LAUNCHER, ROOT, alive, bench, eventually

# Steps together until asked to stop. As ranks do, it leaves with 75 when a collective fails.
SCRIPT = """
import torch
import torch.distributed as dist

torch.set_num_threads(1)
dist.init_process_group("gloo")
try:
    while not stops:
        total = torch.ones(1)
        dist.all_reduce(total)
        if not (FOLDER / f"met{START}-{RANK}").exists():
            (FOLDER / f"met{START}-{RANK}").touch()
            note("met", total=total.item())
        time.sleep(0.02)
except RuntimeError:
    os._exit(75)
os._exit(143)
"""


def test_both_nodes_start_again_after_a_kill_and_stop_together(tmp_path: Path) -> None:
    with bench(tmp_path, SCRIPT) as made:
        launchers = made.launch_nodes(2)
        eventually(lambda: len(made.journal("met")) == 2, "the ranks meet")
        victim = next(entry for entry in made.journal("start") if entry["rank"] == 1)
        os.kill(victim["pid"], signal.SIGKILL)
        eventually(lambda: len(made.journal("met")) == 4, "the ranks meet again, over a new store")
        assert {entry["total"] for entry in made.journal("met")} == {2.0}
        assert [launched.status()["restarts"] for launched in launchers] == [1, 1]
        failures = {
            failure["rank"]: failure["class"] for launched in launchers for failure in launched.status()["failures"]
        }
        assert failures == {1: "Crash", 0: "PeerLost"}
        holders = [launched for launched in launchers if launched.status()["iteration"] is not None]
        assert len(holders) <= 1, "only the node of rank 0 tells the job's numbers"
        launchers[1].process.send_signal(signal.SIGTERM)
        assert [launched.wait() for launched in launchers] == [143, 143]
        assert len(made.journal("start")) == 4
        assert {launched.termination["class"] for launched in launchers} == {"Preempted"}


def test_launcher_that_reads_late_still_finds_the_store(tmp_path: Path) -> None:
    script = """
    note("begun")
    if os.environ["PET_NODE_RANK"] == "0":
        wait_for("release")
    """
    with bench(tmp_path, script) as made:
        first, second = made.launch_nodes(2)
        eventually(lambda: len(made.journal("begun")) == 2, "both ranks run")
        eventually(lambda: second.status()["state"] == "finished", "one node has finished and waits for the other")
        second.process.send_signal(signal.SIGSTOP)
        made.touch("release")
        told = tmp_path / "termination0"
        eventually(lambda: told.read_text().strip(), "node 0 has read how both ended, and is about to leave")
        second.process.send_signal(signal.SIGCONT)
        assert [launched.wait() for launched in (first, second)] == [0, 0]
        assert "sendBytes" not in first.err + second.err


def test_node_whose_peer_dies_before_the_ranks_know_where_to_meet_ends_with_75(tmp_path: Path) -> None:
    with bench(tmp_path, SCRIPT) as made:
        first, second = made.launch_nodes(2, programs=[str(ROOT / "tests/harness/parting_launcher.py"), LAUNCHER])
        assert [first.wait(), second.wait()] == [1, 75]
        assert "the launcher of node 0 is gone" in second.termination["message"]
        assert "Traceback" not in second.err
        assert made.journal("start") == []


def test_node_whose_peer_is_gone_for_good_ends_with_75(tmp_path: Path) -> None:
    with bench(tmp_path, SCRIPT) as made:
        first, second = made.launch_nodes(2, PETJOB_STARTUP_SECONDS="30")
        eventually(lambda: len(made.journal("met")) == 2, "the ranks meet")
        first.process.kill()
        assert second.wait() == 75
        eventually(lambda: not any(alive(entry["pid"]) for entry in made.journal("start")), "no rank is left")
        assert second.termination["class"] == "PeerLost"


def test_launchers_whose_clocks_differ_by_an_hour_make_one_gang_again_and_again(tmp_path: Path) -> None:
    """torch takes a launcher for dead whose last word is older than 15 s, by the clocks of two machines."""
    script = """
    note("world", size=WORLD_SIZE)
    wait_for("fail" if (START, RANK) == (0, 1) else "finish")
    if START == 0:
        os._exit(1)
    """
    with bench(tmp_path, script) as made:
        launchers = made.launch_nodes(2, programs=[LAUNCHER, str(ROOT / "tests/harness/late_launcher.py")])
        eventually(lambda: len(made.journal("world")) == 2, "both ranks run")
        made.touch("fail")
        eventually(lambda: len(made.journal("world")) == 4, "both ranks run again")
        made.touch("finish")
        assert [launched.wait() for launched in launchers] == [0, 0]
        assert {entry["size"] for entry in made.journal("world")} == {2}
