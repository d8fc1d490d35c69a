"""Ranks say what they run before they meet: who differs is named by all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from testbed.processes import free_port

from pet.config import ConfigError
from pet.engine.errors import PeerLost
from pet.engine.likeness import Facts, code_hash, facts_of_this_rank, require_alike

LIMIT = timedelta(seconds=60)
FACTS = {"torch": "2.15.0", "configuration": "abc"}


def met(*facts: Facts | None, seconds: float = 60.0) -> list[BaseException | None]:
    """What each rank raises, over real stores; None among the facts is a rank that says nothing."""
    port = free_port()
    stores: list[dist.TCPStore] = []  # as in a training, rank 0's lives on when it has been asked

    def rank(number: int) -> BaseException | None:
        store = dist.TCPStore("127.0.0.1", port, is_master=number == 0, timeout=LIMIT, wait_for_workers=False)
        stores.append(store)
        mine = facts[number]
        if mine is None:
            return None
        try:
            require_alike(store, number, len(facts), mine, seconds)
        except Exception as error:
            return error
        return None

    with ThreadPoolExecutor(len(facts)) as pool:
        return list(pool.map(rank, range(len(facts))))


def test_ranks_that_run_the_same_go_on() -> None:
    assert met(FACTS, FACTS, FACTS) == [None] * 3


@pytest.mark.parametrize(
    ("odd", "facts", "text"),
    [
        (2, {"torch": "2.14.1"}, "rank 2: torch is 2.14.1, on the other ranks 2.15.0"),
        (0, {"configuration": "abd"}, "rank 0: configuration is abd, on the other ranks abc"),
        (1, {"code": "123"}, "rank 1: code is 123, on the other ranks nothing"),
    ],
)
def test_the_odd_rank_is_named_by_all(odd: int, facts: dict[str, str], text: str) -> None:
    every: list[Facts] = [FACTS, FACTS, FACTS]
    every[odd] = {**FACTS, **facts}
    errors = met(*every)
    for error in errors:
        assert isinstance(error, ConfigError)
        assert f"{text}: give all pods the same image and configuration" in str(error)


def test_of_two_that_differ_the_other_one_is_odd() -> None:
    first, second = met(FACTS, {**FACTS, "torch": "2.14.1"})
    assert isinstance(first, ConfigError)
    assert str(first) == str(second)
    assert "rank 1: torch is 2.14.1, on the other ranks 2.15.0" in str(first)


def test_a_rank_that_says_nothing_is_named_and_is_nobody_s_mistake_here() -> None:
    first, _, third = met(FACTS, None, FACTS, seconds=0.2)
    for error in (first, third):
        assert isinstance(error, PeerLost)
    assert "ranks [1] did not say within 0.2 s what they run" in str(first)


def test_what_is_compared() -> None:
    facts = facts_of_this_rank("gloo", 4, "abc")
    assert list(facts) == ["torch", "CUDA", "NCCL", "Python", "backend", "number of ranks", "code", "configuration"]
    assert (facts["torch"], facts["number of ranks"], facts["NCCL"]) == (torch.__version__, "4", "none")


def test_the_code_s_hash_changes_with_any_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package: Any = type("package", (), {"__file__": str(tmp_path / "__init__.py")})
    (tmp_path / "sub").mkdir()
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "sub" / "module.py").write_text("x = 1\n")
    monkeypatch.setattr("pet.engine.likeness.pet", package)
    before = code_hash()
    (tmp_path / ".#module.py").symlink_to("an editor's lock")
    assert code_hash() == before
    (tmp_path / "sub" / "module.py").write_text("x = 2\n")
    changed = code_hash()
    (tmp_path / "sub" / "module.py").rename(tmp_path / "sub" / "other.py")
    assert len({before, changed, code_hash()}) == 3
