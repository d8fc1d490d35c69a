"""Stop signals and sudden death of the launcher, with real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from harness.launcher import LAUNCHER, SCRIPT, alive, bench, eventually

UNTIL_STOPPED = """
while not stops:
    time.sleep(0.02)
checkpoint = CheckpointInfo(iteration=40, file="model_iter40.pth", bytes=1, saved_at=0.0, verified=True)
write_metrics_file(RUN_DIR.metrics(LOCAL_RANK), JobMetrics(
    attempt=1, restart=0, world_size=WORLD_SIZE, iteration=40, max_iterations=100, checkpoint=checkpoint))
wait_for("leave")
sys.exit(143)
"""


def test_ctrl_c_reaches_each_rank_once_and_a_second_one_changes_nothing(tmp_path: Path) -> None:
    with bench(tmp_path, UNTIL_STOPPED) as made:
        launched = made.launch("--nproc", "2")
        eventually(lambda: len(made.journal("start")) == 2, "both ranks start")
        # As a terminal does: the signal goes to the whole foreground group.
        os.killpg(launched.process.pid, signal.SIGINT)
        eventually(lambda: len(made.journal("signal")) == 2, "both ranks are asked to leave")
        os.killpg(launched.process.pid, signal.SIGINT)
        eventually(lambda: "already saving" in launched.err, "the second Ctrl-C is answered")
        launched.process.send_signal(signal.SIGTERM)
        made.touch("leave")
        assert launched.wait() == 143
        assert "leave within 25 s" in launched.err, "of a grace period of 30 s some are left for the report"
        signals = {entry["rank"]: entry["number"] for entry in made.journal("signal")}
        assert signals == {0: signal.SIGTERM, 1: signal.SIGTERM}
        assert len(made.journal("signal")) == 2
        message = launched.termination
        assert (message["class"], message["iteration"], message["savedIteration"]) == ("Preempted", 40, 40)
        assert message["checkpoint"]["savedAt"] == "1970-01-01T00:00:00Z"
        assert message["progress"]["maxIterations"] == 100


def test_stop_before_ranks_exist_starts_none(tmp_path: Path) -> None:
    with bench(tmp_path, UNTIL_STOPPED) as made:
        launched = made.launch()
        eventually(lambda: "live: " in launched.err, "the launcher is up, and imports torch")
        launched.process.send_signal(signal.SIGTERM)
        assert launched.wait() == 143
        assert made.journal() == []
        assert launched.termination["class"] == "Preempted"


def test_no_rank_outlives_a_launcher_that_is_killed(tmp_path: Path) -> None:
    with bench(tmp_path, UNTIL_STOPPED) as made:
        launched = made.launch("--nproc", "2")
        eventually(lambda: len(made.journal("start")) == 2, "both ranks start")
        ranks = [entry["pid"] for entry in made.journal("start")]
        assert all(alive(pid) for pid in ranks)
        launched.process.kill()
        eventually(lambda: not any(alive(pid) for pid in ranks), "the ranks are gone")
        assert made.journal("signal") == []


@pytest.mark.parametrize("program", [LAUNCHER, SCRIPT])
@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "2>&-"])
def test_a_launcher_that_was_started_without_output_is_not_stopped_by_what_its_ranks_print(
    tmp_path: Path, closed: str, program: str
) -> None:
    hand_over = f"""
    import sys
    from pet.launch.handover import ensure_ranks
    ensure_ranks("{SCRIPT}", sys.argv[1:])
    """
    script = """
    print("a line", flush=True)
    print("an error", file=sys.stderr, flush=True)
    deadline = time.monotonic() + 2
    while not stops and time.monotonic() < deadline:
        time.sleep(0.02)
    """
    quiet = tmp_path / "quiet.py"
    quiet.write_text(f"""
import os, sys
os.execv("/bin/sh", ["sh", "-c", 'exec "$0" "$@" {closed}', sys.executable, "{program}", *sys.argv[1:]])
""")
    with bench(tmp_path, script) as made:
        made.write(script, before=hand_over)
        launched = made.launch(program=str(quiet), PETJOB_CHECKPOINT_DIR="")
        assert launched.wait() == 0
        assert launched.termination["class"] == "Succeeded"
        assert made.journal("signal") == []
