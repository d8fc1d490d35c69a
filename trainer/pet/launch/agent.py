"""torch's elastic agent over our supervisor: the agent gives ranks their numbers and meets the other nodes' agents.

The four abstract methods of `SimpleElasticAgent` and its exit barrier are filled in. `LocalElasticAgent` is not used:
as soon as one rank ends it sends SIGTERM to the others, the very signal that means "save and leave" to them, even when
that one left with its checkpoint saved; and it restarts after every exit code but 0. The private names used here are
held by the supported range of torch and by a component test for each exit class.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]  # public, but left out of its __all__
from torch.distributed.elastic.agent.server.api import (
    RunResult,
    SimpleElasticAgent,
    WorkerGroup,
    WorkerSpec,
    WorkerState,
)
from torch.distributed.elastic.rendezvous import (
    RendezvousConnectionError,
    RendezvousError,
    RendezvousHandler,
    RendezvousParameters,
    RendezvousTimeoutError,
)
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import C10dRendezvousBackend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import create_handler

from pet.launch.line import Line
from pet.launch.peers import Peers, Store
from pet.launch.plan import Plan
from pet.launch.supervisor import NodeGivenUp, StoppedBeforeStart, Supervisor
from pet.launch.verdict import Verdict
from pet.runfiles.exits import ExitCode

_MONITOR_SECONDS = 0.1
_ANSWER_SECONDS = 1.0
# torch strikes off a launcher after so many times 5 s without its word, by the clocks of two machines, even from a
# round that is complete: the rest would train alone. Who never comes back is waited for until the start's own limit.
_NEVER_DEAD = 10**8
_LOOPBACK = "localhost"
_PORT = "pet/port"
_RESERVES = sys.platform == "linux"  # elsewhere a port that is bound is taken for rank 0, too


class Agent(SimpleElasticAgent):
    """Lets torch's loop (rendezvous, start, monitor, restart) drive the supervisor.

    No call to the store is made in its thread: ranks have to be watched while the network is away.
    """

    def __init__(self, spec: WorkerSpec, supervisor: Supervisor, line: Line) -> None:
        super().__init__(spec)
        self._supervisor = supervisor
        self._line = line
        self._reserved: socket.socket | None = None

    def _rendezvous(self, worker_group: WorkerGroup) -> None:
        seconds = self._supervisor.plan.environment.startup_seconds
        try:
            # torch keeps to that limit as long as the store answers, and says more.
            self._line.call(seconds + _ANSWER_SECONDS, self._meet, worker_group)
        except TimeoutError as error:
            raise RendezvousTimeoutError(f"the launcher of node 0 has not answered within {seconds:g} s") from error
        except DistError as error:
            raise RendezvousConnectionError(f"the launcher of node 0 is gone: {str(error).splitlines()[0]}") from error

    def _meet(self, worker_group: WorkerGroup) -> None:
        """And agree on the port of the ranks' store, one that stays reserved.

        torch looks for a free port and leaves it to rank 0, which takes it seconds later: by then it may be that of
        another training, whose store the other ranks then join.
        """
        super()._rendezvous(worker_group)
        store = cast("Store", worker_group.store)
        if self._reserved is not None:
            self._reserved.close()  # that of the start before
            self._reserved = None
        if worker_group.group_rank == 0:
            self._reserved = _reserve()
            store.set(_PORT, str(self._reserved.getsockname()[1]))
            if not _RESERVES:
                self._reserved.close()
        worker_group.master_port = int(store.get(_PORT))  # type: ignore[assignment]  # torch says None

    def _start_workers(self, worker_group: WorkerGroup) -> dict[int, Any]:
        environment = self._supervisor.plan.environment
        ranks = {worker.local_rank: worker.global_rank for worker in worker_group.workers}
        variables = {worker.local_rank: self._variables(worker_group, worker) for worker in worker_group.workers}
        peers = Peers(cast("Store", worker_group.store), environment.node_rank, environment.nnodes, self._line)
        return self._supervisor.start(ranks, variables, peers)

    def _stop_workers(self, worker_group: WorkerGroup) -> None:
        self._supervisor.end_ranks()

    def _shutdown(self, death_sig: signal.Signals = signal.SIGTERM, timeout: int = 30) -> None:
        self._supervisor.end_ranks()

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        while (outcome := self._supervisor.watch()) is None:
            if self._is_awaited(worker_group.spec.rdzv_handler):
                self._remaining_restarts += 1  # which torch takes off: it is not this node that failed
                return RunResult(state=WorkerState.UNHEALTHY)
            time.sleep(_MONITOR_SECONDS)
        if outcome.verdict.code is ExitCode.SUCCEEDED:
            finished = {worker.global_rank: None for worker in worker_group.workers}
            return RunResult(state=WorkerState.SUCCEEDED, return_values=finished)
        # torch restarts as long as this is positive, and takes one off before it does.
        self._remaining_restarts = self._supervisor.budget.left + 1 if outcome.restart else 0
        return RunResult(state=WorkerState.FAILED)

    def _is_awaited(self, rendezvous: RendezvousHandler) -> bool:
        """Whether other nodes start anew. torch asks that itself of ranks that are called healthy, without a limit."""
        try:
            return not self._line.blocked and self._line.call(_ANSWER_SECONDS, rendezvous.num_nodes_waiting) > 0
        except TimeoutError:
            return False

    def _exit_barrier(self) -> None:
        self._supervisor.await_peers()

    def _variables(self, group: WorkerGroup, worker: Any) -> dict[str, str]:
        spec = group.spec
        return {
            "RANK": str(worker.global_rank),
            "LOCAL_RANK": str(worker.local_rank),
            "WORLD_SIZE": str(worker.world_size),
            "LOCAL_WORLD_SIZE": str(spec.local_world_size),
            "GROUP_RANK": str(group.group_rank),
            "MASTER_ADDR": str(group.master_addr),
            "MASTER_PORT": str(group.master_port),
            "TORCHELASTIC_RUN_ID": spec.rdzv_handler.get_run_id(),
            "TORCHELASTIC_RESTART_COUNT": str(spec.max_restarts - self._remaining_restarts),
            "TORCHELASTIC_MAX_RESTARTS": str(spec.max_restarts),
            "TORCHELASTIC_USE_AGENT_STORE": "False",
        }


def run_agent(supervisor: Supervisor) -> None:
    """Run the job's part of this node to its end; afterwards `supervisor.verdict` says how it was."""
    handler, line = None, Line()
    try:
        handler = _join(supervisor.plan)
        spec = WorkerSpec(
            role="rank",
            local_world_size=supervisor.plan.ranks_per_node,
            rdzv_handler=handler,
            entrypoint=supervisor.plan.script_file,
            max_restarts=supervisor.budget.limit,
            monitor_interval=_MONITOR_SECONDS,
        )
        Agent(spec, supervisor, line).run()
    except StoppedBeforeStart:
        supervisor.conclude(Verdict.plain(ExitCode.PREEMPTED, "stopped while no rank was running"))
    except NodeGivenUp:
        pass  # the verdict says it
    except RendezvousError as error:
        supervisor.lost(f"the launchers of the job's nodes did not meet: {str(error) or type(error).__name__}")
    finally:
        if handler is not None:
            with suppress(TimeoutError):  # launchers that still wait for this node give up at once
                line.call(_ANSWER_SECONDS, handler.shutdown)


def _reserve() -> socket.socket:
    """Bound to a port, but not listening: taken for all who ask for any free port, and free for rank 0, which asks for
    this one and listens."""
    both = socket.has_dualstack_ipv6()
    reserved = socket.socket(socket.AF_INET6 if both else socket.AF_INET)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if both:
        reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    reserved.bind(("", 0))
    return reserved


def _join(plan: Plan) -> RendezvousHandler:
    """Reach the rendezvous by c10d: torch's static one cannot start ranks again reliably."""
    # The ranks of each start get a store of their own: in a shared one they would read keys of the start before.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    environment = plan.environment
    seconds = max(1, round(environment.startup_seconds))
    host = environment.node_rank == 0
    # A single node meets nobody: any free port does.
    address, port = (_LOOPBACK, 0) if environment.nnodes == 1 else (environment.master_addr, environment.master_port)
    try:
        store = TCPStore(address, port, is_master=host, timeout=timedelta(seconds=seconds))
    except RuntimeError as error:
        doing = "be opened" if host else "be reached"
        raise RendezvousError(f"PET_MASTER_ADDR:PET_MASTER_PORT {address}:{port} cannot {doing}: {error}") from error
    parameters = RendezvousParameters(
        backend="c10d",
        endpoint=f"{address}:{port}",
        run_id=plan.run_id,
        min_nodes=environment.nnodes,
        max_nodes=environment.nnodes,
        # On one machine its own name need not resolve.
        local_addr=_LOOPBACK if address in (_LOOPBACK, "127.0.0.1") else None,
        join_timeout=seconds,
        keep_alive_max_attempt=_NEVER_DEAD,
    )
    return create_handler(store, C10dRendezvousBackend(store, plan.run_id), parameters)
