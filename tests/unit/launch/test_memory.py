"""Whether the kernel has killed a rank for want of memory, read from files as it has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pet.launch.memory import MemoryGroup, MemoryWatch, own_group

GIB = 1 << 30
SECOND = {"memory.events": "low 0\noom 1\noom_kill 1\n", "memory.max": f"{8 * GIB}\n", "memory.peak": f"{7 * GIB}\n"}
FIRST = {
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    "memory.limit_in_bytes": f"{8 * GIB}\n",
    "memory.max_usage_in_bytes": f"{7 * GIB}\n",
}


def machine(folder: Path, lines: str, groups: Mapping[str, Mapping[str, str]]) -> MemoryGroup | None:
    """A process with this /proc/self/cgroup, and these folders below the root of groups."""
    (folder / "proc").mkdir()
    (folder / "proc/cgroup").write_text(lines)
    for place, files in groups.items():
        (folder / "root" / place).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / "root" / place / name).write_text(text)
    return own_group(folder / "proc", folder / "root")


@pytest.mark.parametrize(
    ("lines", "groups", "place"),
    [
        ("0::/\n", {"": SECOND}, ""),
        ("0::/kubepods/pod1/c1\n", {"kubepods/pod1/c1": SECOND}, "kubepods/pod1/c1"),
        ("0::/../c1\n", {"": SECOND}, ""),
        ("5:cpu:/\n4:memory:/job\n0::/\n", {"memory/job": FIRST}, "memory/job"),
        ("4:memory:/of/the/host\n", {"memory": FIRST}, "memory"),
    ],
    ids=["in a container", "on the host", "not visible", "version 1", "version 1 in a container"],
)
def test_the_own_group_is_found(tmp_path: Path, lines: str, groups: dict[str, dict[str, str]], place: str) -> None:
    group = machine(tmp_path, lines, groups)
    assert group is not None
    assert group.folder.resolve() == (tmp_path / "root" / place).resolve()
    assert (group.kills(), group.limit_bytes(), group.peak_bytes()) == (1, 8 * GIB, 7 * GIB)


@pytest.mark.parametrize("lines", ["", "0::/\n", "5:cpu:/\n"])
def test_without_one_nothing_is_known(tmp_path: Path, lines: str) -> None:
    assert machine(tmp_path, lines, {}) is None
    assert MemoryWatch(None).account(1) is None


def test_no_limit_is_none(tmp_path: Path) -> None:
    unlimited = {"memory.max": "max\n"}
    second = machine(tmp_path, "0::/\n", {"": SECOND | unlimited})
    assert second is not None
    assert second.limit_bytes() is None


def test_a_death_counts_as_one_for_memory_only_if_the_kernel_says_so_since_the_start(tmp_path: Path) -> None:
    group = machine(tmp_path, "0::/\n", {"": SECOND})
    assert group is not None
    watch = MemoryWatch(group)
    watch.look([os.getpid()])
    assert watch.account(os.getpid()) is None, "that one kill was before"
    (group.folder / "memory.events").write_text("oom_kill 2\n")
    told = watch.account(os.getpid())
    assert told is not None
    assert told.startswith("killed for want of memory; it used ")
    assert told.endswith("iB at most; the container used 7 GiB at most, the limit is 8 GiB")
    unseen = watch.account(1 << 30)
    assert unseen is not None
    assert "it used an unknown amount, an unknown amount at most" in unseen
