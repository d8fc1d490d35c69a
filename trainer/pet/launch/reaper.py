"""As the first process of a container the launcher inherits every orphan in it, and must reap them."""

from __future__ import annotations

import os
from collections.abc import Collection

_INIT = 1


def reap_orphans(ranks: Collection[int], *, init: int = _INIT) -> None:
    """Reap ended children that are none of our ranks (theirs, left behind by a crash), if we are process `init`."""
    if os.getpid() != init:
        return
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in ranks:
            return  # a rank's end is read by the one who started it
        os.waitpid(ended.si_pid, 0)
