"""A test of the tests: where ranks share the store of the rendezvous, as torch has it, two nodes do not start again."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.launcher import ROOT, bench, eventually

# Before the agent asks for the next round, what keeps the stores apart is taken away.
LAUNCHER = """
import os
from pet.launch import agent
join = agent._join

def shared(plan):
    handler = join(plan)
    if {without}:
        os.environ.pop("TORCH_DISABLE_SHARE_RDZV_TCP_STORE")
    return handler

agent._join = shared
agent.Agent._variables = lambda self, group, worker, own=agent.Agent._variables: {{
    **own(self, group, worker), "TORCHELASTIC_USE_AGENT_STORE": "{without}"}}
"""
# Steps together until asked to stop, and dies once.
SCRIPT = """
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.ones(1)
dist.all_reduce(total)
dist.barrier()
note("met", total=total.item())
if START == 0 and RANK == 1:
    wait_for("die")
    os.kill(os.getpid(), signal.SIGKILL)
try:
    while not stops:
        dist.all_reduce(torch.ones(1))
        time.sleep(0.02)
except RuntimeError:
    os._exit(75)
os._exit(143)
"""
SECONDS = 60.0  # with a store of its own for each round it takes a few


@pytest.mark.parametrize("without", [False, True])
def test_two_nodes_start_again_only_with_a_store_for_each_round(tmp_path: Path, without: bool) -> None:
    with bench(tmp_path, SCRIPT) as made:
        program = made.folder / "tools/launcher.py"
        original = (ROOT / "trainer/tools/train_net_all.py").read_text(encoding="utf-8")
        program.write_text(original.replace('if __name__ == "__main__":', LAUNCHER.format(without=without)
                                            + '\nif __name__ == "__main__":'), encoding="utf-8")  # fmt: skip
        launchers = made.launch_nodes(2, program="tools/launcher.py", PETJOB_STARTUP_SECONDS="60")
        eventually(lambda: len(made.journal("met")) == 2, "the ranks meet")
        made.touch("die")

        def again() -> bool:
            return len({entry["rank"] for entry in made.journal("met") if entry["start"] > 0}) == 2

        if not without:
            assert eventually(again, "they meet again")
            return
        with pytest.raises(AssertionError, match="never happened"):
            eventually(again, "they meet again", seconds=SECONDS)
        assert "NameError" not in launchers[0].err
