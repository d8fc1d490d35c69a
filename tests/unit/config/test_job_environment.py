"""The environment of a pod, written and read back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pet.config import ConfigError, JobEnvironment
from pet.config.environment import is_reserved


def test_an_empty_environment_gives_the_defaults() -> None:
    environment = JobEnvironment.from_environ({})
    assert environment.by_hand
    assert (environment.name, environment.attempt, environment.checkpoint_dir) == ("local", None, None)


def test_what_is_written_is_read_back() -> None:
    environment = replace(
        JobEnvironment.from_environ({}),
        uid="u",
        attempt=3,
        stall_seconds=45.0,
        metrics_per_rank=True,
        checkpoint_dir="/c",
        checkpoint_keep=0,
        resume="/checkpoints/other",
        nnodes=2,
        nproc_per_node=8,
    )
    assert JobEnvironment.from_environ(environment.to_environ()) == environment


def test_an_empty_variable_is_its_default_but_an_empty_checkpoint_folder_saves_nothing() -> None:
    environment = JobEnvironment.from_environ({"PETJOB_ATTEMPT": "", "PET_NNODES": "", "PETJOB_CHECKPOINT_DIR": ""})
    assert (environment.attempt, environment.nnodes, environment.checkpoint_dir) == (None, 1, "")


def test_every_variable_that_does_not_parse_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        JobEnvironment.from_environ(
            {"PET_NNODES": "two", "PETJOB_METRICS_PER_RANK": "yes", "PETJOB_STALL_SECONDS": "long"}
        )
    fields = [problem.field for problem in caught.value.problems]
    assert sorted(fields) == ["PETJOB_METRICS_PER_RANK", "PETJOB_STALL_SECONDS", "PET_NNODES"]


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        *[(f"PETJOB_{name}_SECONDS", text, "give seconds, 0 or more")
          for name in ("STARTUP", "STALL", "GRACE", "RESTART_WINDOW") for text in ("nan", "inf", "-1")],
        ("PET_NNODES", "0", "give 1 or more"),
        ("PET_NODE_RANK", "-1", "give 0 or more"),
        ("PETJOB_NODE_INDEX", "-1", "give 0 or more"),
        ("PETJOB_RESTARTS_LEFT", "-1", "give 0 or more"),
        ("PET_MASTER_PORT", "65536", "give 0 to 65535"),
    ],
)  # fmt: skip
def test_a_number_that_means_nothing_is_refused_with_what_to_give(name: str, text: str, advice: str) -> None:
    with pytest.raises(ConfigError) as caught:
        JobEnvironment.from_environ({name: text})
    (problem,) = caught.value.problems
    assert (problem.field, problem.message) == (name, f"{text!r} is not valid: {advice}")


def test_every_variable_that_is_written_is_reserved() -> None:
    environment = replace(JobEnvironment.from_environ({}), checkpoint_dir="")
    assert all(is_reserved(name) for name in environment.to_environ())
    assert all(is_reserved(name) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "PET_ANYTHING"))
    assert not any(is_reserved(name) for name in ("PATH", "RANKING", "PETER", "NCCL_DEBUG", "OMP_NUM_THREADS"))
