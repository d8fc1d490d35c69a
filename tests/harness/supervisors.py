"""Supervisors over real ranks in one process and without torch, one per node, talking through a store in memory."""

from __future__ import annotations

import threading
import time
from collections import defaultdict

from harness.launcher import CFG, Bench
from harness.peers import DictStore
from pet.config import JobEnvironment
from pet.launch.memory import MemoryGroup
from pet.launch.options import parse_options
from pet.launch.peers import Peers
from pet.launch.plan import make_plan
from pet.launch.record import Record
from pet.launch.supervisor import StoppedBeforeStart, Supervisor
from pet.launch.verdict import Verdict
from pet.runfiles.exits import ExitCode

_MONITOR_SECONDS = 0.02  # between two looks, as the agent leaves some


class Job:
    """One supervisor per node, each driven in a thread of its own as the agent does."""

    def __init__(self, bench: Bench, nodes: int, ranks: int, **environ: str) -> None:
        options = parse_options(["--cfg", str(bench.folder / CFG), "--nproc", str(ranks)])
        common = {"PETJOB_UID": "uid", "PETJOB_ATTEMPT": "1", "PET_NNODES": str(nodes), **environ}
        self.bench = bench
        self.ranks = ranks
        # As of the rendezvous: each round has a store of its own.
        self.stores: defaultdict[int, DictStore] = defaultdict(DictStore)
        self.supervisors = []
        cgroup = bench.folder / "cgroup"
        memory = MemoryGroup(cgroup, "memory.events", "memory.max", "memory.peak") if cgroup.exists() else None
        for node in range(nodes):
            environment = JobEnvironment.from_environ({**common, "PET_NODE_RANK": str(node)})
            plan = make_plan(options, environment, bench.folder / "tools")
            self.supervisors.append(Supervisor(plan, Record(), bench.folder / f"run{node}", memory))
        self.threads = [threading.Thread(target=self._drive, args=(node,), daemon=True) for node in range(nodes)]

    def start(self) -> Job:
        for thread in self.threads:
            thread.start()
        return self

    def verdicts(self) -> list[Verdict]:
        """Wait for the end of all nodes."""
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a supervisor did not come to an end"
        return [supervisor.verdict for supervisor in self.supervisors if supervisor.verdict is not None]

    def _drive(self, node: int) -> None:
        supervisor, nodes, started = self.supervisors[node], len(self.supervisors), 0
        while supervisor.verdict is None:
            local = {local_rank: node * self.ranks + local_rank for local_rank in range(self.ranks)}
            world = str(nodes * self.ranks)
            variables = {
                local_rank: {"RANK": str(rank), "LOCAL_RANK": str(local_rank), "WORLD_SIZE": world}
                for local_rank, rank in local.items()
            }
            try:
                supervisor.start(local, variables, Peers(self.stores[started], node, nodes))
                started += 1
                while (outcome := supervisor.watch()) is None:
                    time.sleep(_MONITOR_SECONDS)
                if outcome.verdict.code is ExitCode.SUCCEEDED:
                    supervisor.await_peers()
                supervisor.end_ranks()
            except StoppedBeforeStart:
                supervisor.conclude(Verdict.plain(ExitCode.PREEMPTED, "stopped"))


def run(bench: Bench, script: str, nodes: int = 1, ranks: int = 2, **environ: str) -> list[Verdict]:
    """Run a job with this training script to its end; the verdicts by node."""
    bench.write(script)
    return Job(bench, nodes, ranks, **environ).start().verdicts()
