"""Stands between the process node and one container, as a runtime's shim does: the container's processes end together.

Run as a file, `python -I -S shim.py <parent's pid> <working directory> <command…>`, and imports nothing of the bed. It
makes itself the reaper of all that descends from it and starts the command as leader of a new session. When that first
process ends, or the process node is gone, or the node says so, every descendant is killed, whatever session or parent
it has found for itself: what the end of a process namespace does where there is one.

On its standard output it tells `started <pid>` or `failed <why>`; both streams of the command are its standard error.
SIGTERM is handed on to the first process, SIGUSR1 kills all. It ends with the first process's exit code, 128 + n for a
signal.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
KILL = signal.SIGUSR1
_WATCHED = {signal.SIGCHLD, signal.SIGTERM, KILL}
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
START_ERROR = 128  # the exit code of a container that could not be started


class _NotStarted(Exception):
    pass


def main(parent: int, folder: str, command: list[str]) -> int:
    """Run the command in the folder; returns its exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    become_subreaper()
    _prctl(_PR_SET_PDEATHSIG, KILL)
    if os.getppid() != parent:  # it died before the call above
        return START_ERROR
    try:
        pid = _start(folder, command)
    except _NotStarted as error:
        print(f"failed {error}", flush=True)
        return START_ERROR
    print(f"started {pid}", flush=True)
    try:
        return _run(pid)
    finally:
        _kill_all()


def become_subreaper() -> None:
    """What descends from this process and loses its parent becomes its child."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def descendants(ancestor: int) -> set[int]:
    """The processes that descend from one."""
    families = _families()
    found: set[int] = set()
    generation = families.get(ancestor, set())
    while generation:
        found |= generation
        generation = {child for parent in generation for child in families.get(parent, ())} - found
    return found


def children(parent: int) -> set[int]:
    """The processes whose parent is this one."""
    return _families().get(parent, set())


def _families() -> dict[int, set[int]]:
    families: dict[int, set[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat") as stat:  # it may have ended since
                parent = int(stat.read().rpartition(")")[2].split()[1])  # after a name that may hold anything
                families.setdefault(parent, set()).add(int(name))
    return families


def _run(pid: int) -> int:
    """Hand on signals and reap until the first process has ended; returns its exit code."""
    while True:
        number = signal.sigwait(_WATCHED)
        if number != signal.SIGCHLD:
            os.kill(pid, signal.SIGKILL if number == KILL else number)  # not reaped yet: the number is still its own
        while ended := os.waitpid(-1, os.WNOHANG):
            if ended[0] == pid:
                code = os.waitstatus_to_exitcode(ended[1])
                return code if code >= 0 else 128 - code
            if not ended[0]:
                break


def _start(folder: str, command: list[str]) -> int:
    """Start the first process. Raises _NotStarted if its folder or its program is not there."""
    shim = os.getpid()
    reader, writer = os.pipe()  # a successful exec closes it, else it says what failed
    pid = os.fork()
    if not pid:
        _become(folder, command, shim, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        failure = pipe.read().decode()
    if failure:
        os.waitpid(pid, 0)
        raise _NotStarted(failure)
    return pid


def _become(folder: str, command: list[str], shim: int, failure: int) -> NoReturn:
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != shim:
            os._exit(1)
        os.dup2(2, 1)
        for number in _IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        what = f'chdir: "{folder}"'
        os.chdir(folder)
        what = f'exec: "{command[0]}"'
        os.execvp(command[0], command)
    except OSError as error:
        os.write(failure, f"{what}: {error.strerror}".encode())
    finally:
        os._exit(1)


def _kill_all() -> None:
    """Kill and reap every descendant, those born meanwhile too: each becomes our child when its parent dies."""
    while True:
        for pid in descendants(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
