"""Whether a rank was killed because memory ran out: the kernel counts that for the container, and tells nobody."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_LOOK_SECONDS = 1.0
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_RSS = re.compile(r"^Vm(RSS|HWM):\s+(\d+) kB$", re.MULTILINE)
_UNLIMITED = 1 << 60  # version 1 writes a number where version 2 says "max"
_STEP = 1024


@dataclass(frozen=True)
class MemoryGroup:
    """The control group that the launcher and its ranks are in. All of it is None where the kernel does not tell."""

    folder: Path
    events: str
    limit: str
    peak: str

    def kills(self) -> int | None:
        """How many of its processes were ever killed for want of memory."""
        found = _KILLS.search(_read(self.folder / self.events))
        return int(found[1]) if found else None

    def limit_bytes(self) -> int | None:
        """What they may use together."""
        limit = _number(self.folder / self.limit)
        return limit if limit is not None and limit < _UNLIMITED else None

    def peak_bytes(self) -> int | None:
        """The most that they have used together."""
        return _number(self.folder / self.peak)


def own_group(process: Path = Path("/proc/self"), root: Path = _ROOT) -> MemoryGroup | None:
    """This process's group, of either version; None where there is none. In a container its path may not be visible,
    and the root is the group."""
    groups = [line.split(":", 2) for line in _read(process / "cgroup").splitlines()]
    for number, controllers, path in groups:
        if "memory" in controllers.split(","):
            names = ("memory.oom_control", "memory.limit_in_bytes", "memory.max_usage_in_bytes")
            base = root / "memory"
        elif number == "0":
            names, base = ("memory.events", "memory.max", "memory.peak"), root
        else:
            continue
        for folder in (base / path.lstrip("/"), base):
            if (folder / names[0]).is_file():
                return MemoryGroup(folder, *names)
    return None


class MemoryWatch:
    """Of one start of ranks."""

    def __init__(self, group: MemoryGroup | None) -> None:
        self._group = group
        self._kills = group.kills() if group is not None else None
        self._used: dict[int, dict[str, int]] = {}  # by pid, of its last look
        self._looked_at = -_LOOK_SECONDS

    def look(self, pids: Iterable[int]) -> None:
        """Note what these processes use: nothing is left to be read of one that was killed."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            for pid in pids:
                if used := {name: int(kib) * _STEP for name, kib in _RSS.findall(_read(Path(f"/proc/{pid}/status")))}:
                    self._used[pid] = used

    def account(self, pid: int) -> str | None:
        """What there is to tell of a process that was killed, if it was for want of memory, else None."""
        want = self.want()
        if want is None:
            return None
        used = self._used.get(pid, {})
        own = f"it used {_size(used.get('RSS'))}, {_size(used.get('HWM'))} at most"
        return f"killed for want of memory; {own}; {want}"

    def want(self) -> str | None:
        """What the group used and may use, if the kernel has killed a process of it since the start, else None."""
        kills = self._group.kills() if self._group is not None else None
        if self._group is None or kills is None or self._kills is None or kills <= self._kills:
            return None
        limit, peak = self._group.limit_bytes(), self._group.peak_bytes()
        bound = f"the limit is {_size(limit)}" if limit is not None else "it has no limit: the node had no more"
        return f"the container used {_size(peak)} at most, {bound}"


def _size(count: int | None) -> str:
    if count is None:
        return "an unknown amount"
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= _STEP and len(units) > 1:
        value /= _STEP
        units.pop(0)
    return f"{value:.4g} {units[0]}"


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _read(path: Path) -> str:
    """Empty where there is nothing to read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
