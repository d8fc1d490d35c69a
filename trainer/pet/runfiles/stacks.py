"""The stacks of a rank's threads, written by the rank when its launcher asks by a signal.

faulthandler's handler is in C: it writes while another C call holds the interpreter's lock, or in an endless loop.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import re
import signal
import threading
from pathlib import Path

ASK = signal.SIGUSR2
_THREAD = re.compile(r"^(?:Current thread|Thread) (0x[0-9a-f]+).*\(most recent call first\):", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.*)", line (\d+|\?\?\?) in (.*)$', re.MULTILINE)


def offer_stacks(path: Path) -> None:
    """The rank's side: from now on `ask_stacks` has the stacks of all threads written to this file. Raises OSError.

    The file's name is there only once the handler is: the signal would end a process without one.
    """
    temporary = path.with_name(f".{path.name}.new")
    file = open(temporary, "a", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    file.write(f"{_ident(threading.main_thread())}\n")
    file.flush()
    faulthandler.register(ASK, file, all_threads=True)
    temporary.rename(path)


def ask_stacks(pid: int) -> None:
    """The launcher's side: have a process that offers its stacks write them; nothing if it has ended.

    Its main thread writes them. A process that was stopped runs on with all threads at once, and by the time another
    thread took the signal the main one would be elsewhere.
    """
    with contextlib.suppress(ProcessLookupError):
        if (tgkill := getattr(ctypes.CDLL(None, use_errno=True), "tgkill", None)) is None:  # glibc before 2.30
            os.kill(pid, ASK)
        elif tgkill(pid, pid, ASK) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Stacks:
    """The launcher's side: what is written from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin = path.stat().st_size if path.exists() else None

    @property
    def offered(self) -> bool:
        """Whether the rank may be asked."""
        return self._begin is not None

    def text(self) -> str:
        """One thread after the other as in a traceback, the innermost call last; the main thread is the last one.

        Empty if the rank wrote nothing.
        """
        if self._begin is None:
            return ""
        written = self._path.read_bytes()
        main = written.partition(b"\n")[0].decode(errors="replace")
        threads = _threads(written[self._begin :].decode(errors="replace"))
        texts = [_thread(f"Thread {ident}", frames) for ident, frames in threads if ident != main]
        texts += [_thread("Main thread", frames) for ident, frames in threads if ident == main]
        return "\n".join(texts)


def _threads(dump: str) -> list[tuple[str, str]]:
    """The identity and the frames of each thread in faulthandler's text."""
    _, *parts = _THREAD.split(dump)
    return list(zip(parts[::2], parts[1::2], strict=True))


def _thread(title: str, frames: str) -> str:
    lines = [f'  File "{file}", line {line}, in {name}\n' for file, line, name in _FRAME.findall(frames)]
    return f"{title} (most recent call last):\n" + "".join(reversed(lines))


def _ident(thread: threading.Thread) -> str:
    return f"0x{thread.ident:016x}"
