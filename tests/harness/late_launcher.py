"""A program: a launcher on a machine whose clock is an hour late, as far as torch's rendezvous sees."""

from __future__ import annotations

import runpy
from datetime import UTC, datetime, timedelta, tzinfo

from torch.distributed.elastic.rendezvous import dynamic_rendezvous


class _Late(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # what others can read again
        return datetime.now(tz or UTC) - timedelta(hours=1)


if __name__ == "__main__":
    dynamic_rendezvous.datetime = _Late  # type: ignore[misc]
    runpy.run_path("tools/train_net_all.py", run_name="__main__")
