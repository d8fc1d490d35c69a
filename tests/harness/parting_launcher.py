"""A program: a launcher that dies once it has met the others, before its ranks can."""

from __future__ import annotations

import os
import runpy

from torch.distributed.elastic.agent.server.api import SimpleElasticAgent, WorkerGroup

meet = SimpleElasticAgent._rendezvous


def _meet_and_die(self: SimpleElasticAgent, group: WorkerGroup) -> None:
    meet(self, group)
    os._exit(1)


if __name__ == "__main__":
    SimpleElasticAgent._rendezvous = _meet_and_die  # type: ignore[method-assign]
    runpy.run_path("tools/train_net_all.py", run_name="__main__")
