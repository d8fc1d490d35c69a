"""The first moments of a rank: tie its life to the launcher's, then become the training script.

Run as a file, `rank_main.py <launcher's pid> <python> -u <script> <arguments…>`, and imports nothing of Pet. However
the launcher dies, its ranks must not live on: they would write checkpoints beside those of the next launcher.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 1.0


def main(launcher: int, command: list[str]) -> None:
    """Become `command`, or end at once if the launcher is gone already."""
    if sys.platform == "linux":
        _die_with_parent(launcher)
        os.execv(command[0], command)
    _watch_parent(launcher)
    _run_here(command[2], command[3:])


def _die_with_parent(launcher: int) -> None:
    """The kernel kills this process when the thread that started it ends; that thread outlives every healthy rank."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != launcher:  # it died before the call above
        os._exit(1)


def _watch_parent(launcher: int) -> None:
    """Where the kernel offers no such signal, a thread looks who the parent is."""
    import threading
    import time

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(_POLL_SECONDS)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="launcher-watch", daemon=True).start()


def _run_here(script: str, arguments: list[str]) -> None:
    import runpy

    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
