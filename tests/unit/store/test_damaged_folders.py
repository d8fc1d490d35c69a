"""A sample of the folders that are damaged at random; `tests/reliability` has all of them."""

from __future__ import annotations

from pathlib import Path

from harness.damaged_folders import check


def test_a_damaged_folder_gives_the_newest_that_is_whole_or_stops_the_run(memory_path: Path) -> None:
    endings = {check(seed, memory_path / str(seed)) for seed in range(120)}
    assert {"one: 30", "one: 20", "several: -1", "legacy: stopped", "owner: stopped"} <= endings
