"""No key of a script that is built is silently ignored: its source reads the key, or setting it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.config_keys import another_value, keys_read

from pet.config import check_config, get_base_cfg, known_scripts, resolve_script
from pet.config.defaults import schema
from pet.config.rules import NOT_AVAILABLE_YET

TRAINER = Path(__file__).parents[3] / "trainer"
NOTES = {"MISC.VERSION", "EVAL.RECORD"}  # said to be notes where they are declared: for people, by design


def name_of(script: str) -> str:
    return Path(script).parent.name


def read_by(script: str) -> set[str]:
    return keys_read(TRAINER / script, TRAINER, without="pet.config")


def is_refused(script: str, name: str) -> bool:
    """Whether another value of a key is a problem, named after the key."""
    cfg = get_base_cfg(script)
    *path, last = name.split(".")
    section = cfg
    for part in path:
        section = section[part]
    section[last] = another_value(cfg.schema.keys[name])
    return name in [problem.field for problem in check_config(cfg, world_size=None)]


def has_no_effect_by_itself(script: str, name: str) -> bool:
    """Whether a key only counts beside its section's switch, and that is refused."""
    switch = f"{name.rpartition('.')[0]}.ENABLED"
    return switch in schema(script).keys and is_refused(script, switch)


@pytest.mark.parametrize("path", known_scripts())
def test_every_key_is_read_by_the_script_or_refused(path: str) -> None:
    script, read = name_of(path), read_by(path)
    unread = [name for name in schema(script).keys if name not in read | NOTES]
    ignored = [name for name in unread if not is_refused(script, name) and not has_no_effect_by_itself(script, name)]
    assert ignored == [], "read these by attribute (cfg.A.B.C), or enter them in NOT_AVAILABLE_YET of pet.config.rules"


@pytest.mark.parametrize("path", known_scripts())
def test_no_key_that_a_script_reads_is_refused_as_not_built(path: str) -> None:
    assert read_by(path) & set(NOT_AVAILABLE_YET) == set()


def test_every_built_script_can_be_found_by_the_name_of_its_folder() -> None:
    for path in known_scripts():
        place = path.replace("tools/", "cfgs/", 1).replace("train_net.py", "a.yaml")
        assert resolve_script(place, None, known_scripts()).name == name_of(path)


SCRIPT = """
from functools import partial
from lib.parts import Optimizer, period, sizes
from lib import models
def main():
    cfg = load_config("toy")
    batch, test = cfg.TRAIN.BATCH, cfg.TEST
    cfg.SOLVER.START = 3
    Optimizer(1, solver=cfg.SOLVER.OPTIMIZER).build()
    partial(period, test)
    sizes(cfg)
"""
PARTS = """
class Optimizer:
    def __init__(self, model, solver):
        self.model, self.solver = model, solver
        self.clip = solver.CLIP if solver.CLIP.ENABLED else None
    def build(self):
        return [self.solver.BASE_LR, self.clip.VALUE]
    def skipped(self, other):
        return other.MOMENTUM, self.MOMENTUM
def period(test): return test.FREQUENCY
def sizes(config): return [config.TEST.SIZES for _ in ()]
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A script with its library, whose ways to read a configuration are those of the real ones."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/models.py").write_text(
        "import lib.config\nclass Net:\n  def __init__(self, cfg): cfg.MODEL.WIDTH\n"
    )
    (tmp_path / "lib/parts.py").write_text(PARTS)
    (tmp_path / "lib/config.py").write_text("def rule(cfg): return cfg.MISC.NOTE\n")
    (tmp_path / "lib/unused.py").write_text("def other(cfg): return cfg.MISC.OTHER\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def test_keys_are_followed_through_names_attributes_and_calls(toy: Path) -> None:
    read = keys_read(toy / "script.py", toy, without="lib.config")
    leaves = {name for name in read if not any(other.startswith(f"{name}.") for other in read)}
    assert leaves == {
        "TRAIN.BATCH", "SOLVER.OPTIMIZER.CLIP.ENABLED", "SOLVER.OPTIMIZER.CLIP.VALUE", "SOLVER.OPTIMIZER.BASE_LR",
        "TEST.FREQUENCY", "TEST.SIZES", "MODEL.WIDTH",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["SOLVER.START", "SOLVER.OPTIMIZER.MOMENTUM", "MISC.NOTE", "MISC.OTHER"])
def test_a_key_that_is_only_written_or_named_elsewhere_is_not_read(toy: Path, name: str) -> None:
    assert name not in keys_read(toy / "script.py", toy, without="lib.config")
