"""How often the ranks are started, the launcher's own exit code, and its last word, through torch's agent.

Every class of exit is in `test_exit_classes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.launcher import CFG, SCRIPT, Bench, Launched, bench

# Rank 1 ends as the test says; rank 0 does as ranks do that lose a peer, or that leave together with it.
PROGRAM = """
end = sys.argv[-1]
note("environment", argv=sys.argv, environ=dict(os.environ))
for number in range(500):
    print(f"line {number} of rank {RANK}")
sys.stderr.write("last words without an end of line")
if RANK == 0:
    time.sleep(0.5)
    sys.exit({"0": 0, "143": 143}.get(end, 75))
if end.startswith("-"):
    os.kill(os.getpid(), -int(end))
if end == "error":
    try:
        raise ValueError("no such thing")
    except ValueError as error:
        failure = Failure.of(error, exit_code=ExitCode.APP_ERROR, attempt=1, restart=START, rank=RANK, iteration=7)
        write_failure(RUN_DIR.failure(LOCAL_RANK), failure)
    sys.exit(1)
sys.exit(int(end))
"""

# rank 1's end → starts with one restart allowed, exit code, class, the rank that is named
EXPECTED: dict[str, tuple[int, int, str, int | None]] = {
    "0": (1, 0, "Succeeded", None),
    "1": (2, 1, "AppError", 1),
    "75": (2, 75, "PeerLost", None),
    "78": (1, 78, "ConfigError", 1),
    "143": (1, 143, "Preempted", None),
    "-9": (2, 139, "Crash", 1),
    "-11": (2, 139, "Crash", 1),
    "error": (2, 1, "AppError", 1),
}
LINES = 500
REST = ("SOLVER.OPTIMIZER.BASE_LR", "0.5", "--own", "option")
INHERITED = {"RANK": "7", "LOCAL_RANK": "7", "WORLD_SIZE": "9", "MASTER_ADDR": "nowhere", "MASTER_PORT": "1"}
# At most so many launchers run at a time.
AT_A_TIME = 4


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Launched]]:
    """One finished launcher for each end."""
    benches: list[Bench] = []
    launched: dict[str, Launched] = {}
    for end in EXPECTED:
        for running in list(launched.values())[: -AT_A_TIME + 1]:
            running.wait()
        entered = Bench(tmp_path_factory.mktemp(f"end{end}"))
        entered.write(PROGRAM)
        benches.append(entered)
        arguments = (*REST[:2], "--nproc", "2", *REST[2:], "--type", "tasks", "--", "--type", end)
        launched[end] = entered.launch(*arguments, **INHERITED, PETJOB_NAME="my-job", PETJOB_RESTARTS_LEFT="1")
    for running in launched.values():
        running.wait()
    yield launched
    for entered in benches:
        entered.close()


@pytest.mark.parametrize("end", EXPECTED)
def test_ranks_are_started_once_or_restarted_by_the_class_of_the_cause(ends: dict[str, Launched], end: str) -> None:
    starts, code, _, _ = EXPECTED[end]
    assert len(ends[end].bench.journal("start")) == 2 * starts, ends[end].err
    assert ends[end].process.returncode == code


@pytest.mark.parametrize("end", EXPECTED)
def test_termination_message_names_class_and_rank(ends: dict[str, Launched], end: str) -> None:
    starts, code, exit_class, rank = EXPECTED[end]
    message = ends[end].termination
    assert (message["schema"], message["exitCode"], message["class"], message["rank"]) == (1, code, exit_class, rank)
    assert (message["restart"], message["restartsLeft"]) == (starts - 1, 2 - starts)
    assert set(message) == {
        "schema", "class", "exitCode", "attempt", "restart", "restartsLeft", "spent", "rank", "iteration", "type",
        "message", "traceback", "signalledByUs", "savedIteration", "checkpoint", "metrics", "progress",
    }  # fmt: skip


def test_no_rank_is_signalled_when_all_leave_by_themselves(ends: dict[str, Launched]) -> None:
    for end, launched in ends.items():
        assert launched.bench.journal("signal") == [], end
        assert launched.termination["signalledByUs"] == [], end


def test_report_of_the_rank_reaches_the_termination_message(ends: dict[str, Launched]) -> None:
    message = ends["error"].termination
    assert (message["type"], message["message"], message["iteration"]) == ("ValueError", "no such thing", None)
    assert 'raise ValueError("no such thing")' in message["traceback"]


def test_death_by_signal_is_named(ends: dict[str, Launched]) -> None:
    assert (ends["-11"].termination["type"], ends["-9"].termination["type"]) == ("SIGSEGV", "SIGKILL")
    assert "SIGSEGV" in ends["-11"].err


def test_ranks_get_the_documented_command_line_and_environment(ends: dict[str, Launched]) -> None:
    seen = {entry["rank"]: entry for entry in ends["0"].bench.journal("environment")}
    assert sorted(seen) == [0, 1]
    for rank, entry in seen.items():
        assert entry["argv"] == [SCRIPT, f"--cfg={CFG}", f"--local_rank={rank}", *REST, "--type", "0"]
        environ = entry["environ"]
        assert (environ["LOCAL_RANK"], environ["WORLD_SIZE"], environ["MASTER_ADDR"]) == (str(rank), "2", "localhost")
        assert environ["MASTER_PORT"] != INHERITED["MASTER_PORT"]
        assert (environ["PETJOB_NAME"], environ["PET_NPROC_PER_NODE"]) == ("my-job", "2")
        assert environ["OMP_NUM_THREADS"] == "1"
        assert environ["CURRENT_TIME"] == seen[0]["environ"]["CURRENT_TIME"]
        assert "PETJOB_CHECKPOINT_DIR" not in environ


def test_the_ranks_of_each_start_meet_in_a_store_of_their_own(ends: dict[str, Launched]) -> None:
    for end, (starts, *_) in EXPECTED.items():
        entries = ends[end].bench.journal("environment")
        meetings = {(entry["start"], entry["environ"]["MASTER_PORT"]) for entry in entries}
        assert len(meetings) == len({port for _, port in meetings}) == starts, end


def test_output_of_ranks_is_complete_and_told_apart(ends: dict[str, Launched]) -> None:
    lines = ends["0"].out.splitlines()
    assert [line for line in lines if line.startswith("line")] == [f"line {n} of rank 0" for n in range(LINES)]
    others = [line for line in lines if line.startswith("[rank")]
    assert others == [f"[rank 1] line {n} of rank 1" for n in range(LINES)]
    assert "[rank 1] last words without an end of line\n" in ends["0"].err


def test_a_refusal_that_rank_0_has_said_itself_is_not_said_again(tmp_path: Path) -> None:
    script = """
error = ValueError("no such key")
print(error)
write_failure(RUN_DIR.failure(LOCAL_RANK), Failure.of(
    error, exit_code=ExitCode.CONFIG_ERROR, attempt=1, restart=0, rank=RANK, iteration=None))
sys.exit(78)
"""
    with bench(tmp_path, script) as made:
        launched = made.launch()
        assert launched.wait() == 78
        assert (launched.out, launched.termination["message"]) == ("no such key\n", "no such key")
        assert "ends with 78: ValueError, as rank 0 says above" in launched.err
        assert "no such key" not in launched.err


def test_launcher_says_what_it_starts_and_where_to_look(ends: dict[str, Launched]) -> None:
    greeting = ends["0"].err
    for part in (f"{SCRIPT} with {CFG}", "ranks: 2 (CPU)", "checkpoints: ckpts/tasks/cls/fake", "/status and /metrics"):
        assert part in greeting


def test_nothing_is_left_behind(ends: dict[str, Launched]) -> None:
    folders = {Path(entry["environ"]["PETJOB_RUN_DIR"]).parent for launched in ends.values()
               for entry in launched.bench.journal("environment")}  # fmt: skip
    assert len(folders) == len(ends)
    assert [folder for folder in folders if folder.exists()] == []
