"""The launcher's command line: what it keeps, what the training script gets, and what is checked beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest

from pet.config import ConfigError
from pet.launch.options import DEFAULT_CFG, parse_options

# command line → gpu_id, nproc, type, what the script gets, the overrides among it
TABLE: dict[str, tuple[str | None, int | None, str | None, str, str]] = {
    "": (None, None, None, "", ""),
    "--gpu_id 0,1": ("0,1", None, None, "", ""),
    "--gpu_id=2 --type tasks": ("2", None, "tasks", "", ""),
    "MISC.SEED 7": (None, None, None, "MISC.SEED 7", "MISC.SEED 7"),
    # Options count wherever they stand before `--`.
    "MISC.SEED 7 --gpu_id 0 TRAIN.BATCH_SIZE 8": (
        "0", None, None, "MISC.SEED 7 TRAIN.BATCH_SIZE 8", "MISC.SEED 7 TRAIN.BATCH_SIZE 8",
    ),
    "SOLVER.SNAPSHOT_ITER -1 --nproc 2": (None, 2, None, "SOLVER.SNAPSHOT_ITER -1", "SOLVER.SNAPSHOT_ITER -1"),
    # What the launcher does not know is the script's; pairs beside it are still checked.
    "--own option MISC.SEED 7": (None, None, None, "--own option MISC.SEED 7", "MISC.SEED 7"),
    "MISC.SEED 7 -- --gpu_id 5 A.B c": (None, None, None, "MISC.SEED 7 --gpu_id 5 A.B c", "MISC.SEED 7"),
    # A key that is wrong must reach the check, not the script.
    "MISC.SED 7": (None, None, None, "MISC.SED 7", "MISC.SED 7"),
    "lower.case 7": (None, None, None, "lower.case 7", "lower.case 7"),
    "MISC.SEED": (None, None, None, "MISC.SEED", "MISC.SEED"),
    # No abbreviations: --gpu would be the script's.
    "--gpu 0": (None, None, None, "--gpu 0", ""),
}  # fmt: skip


@pytest.fixture(autouse=True)
def default_cfg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default configuration, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    Path(DEFAULT_CFG).parent.mkdir(parents=True)
    Path(DEFAULT_CFG).touch()
    return Path(DEFAULT_CFG)


@pytest.mark.parametrize("line", TABLE)
def test_command_line(line: str) -> None:
    options = parse_options(line.split())
    gpu_id, nproc, type_, rest, overrides = TABLE[line]
    assert (options.gpu_id, options.nproc, options.type, options.script) == (gpu_id, nproc, type_, None)
    assert (options.cfg_file, options.rest, options.overrides) == (
        DEFAULT_CFG, tuple(rest.split()), tuple(overrides.split()),
    )  # fmt: skip


@pytest.mark.parametrize("line", ["--nproc two", "--gpu_id", "--cfg"])
def test_usage_error_is_a_configuration_error_with_the_usage(line: str) -> None:
    with pytest.raises(ConfigError, match=rf"{line.split()[0]}.*usage: train_net_all\.py"):
        parse_options(line.split())


def test_arguments_with_spaces_stay_whole() -> None:
    hooks = "[{'type': 'a:B'}]"
    options = parse_options(["TRAIN.HOOKS", hooks, "--", "two words"])
    assert (options.rest, options.overrides) == (("TRAIN.HOOKS", hooks, "two words"), ("TRAIN.HOOKS", hooks))


def test_a_script_that_is_named_has_no_default_configuration() -> None:
    """So says one that was started by itself without --cfg, and hands itself to the launcher."""
    with pytest.raises(ConfigError, match=r"^--cfg: is missing: tools/tasks/cls/train_net\.py needs a configuration"):
        parse_options(["--script=tools/tasks/cls/train_net.py", "MISC.SEED", "7"])
    assert parse_options(["--script=tools/tasks/cls/train_net.py", "--cfg", "a.yaml"]).cfg_file == "a.yaml"


def test_where_there_is_no_default_configuration_one_is_asked_for(default_cfg: Path) -> None:
    default_cfg.unlink()
    with pytest.raises(ConfigError, match=r"^--cfg: is missing: say what to train, --cfg FILE$"):
        parse_options(["MISC.SEED", "7"])
    assert parse_options(["--cfg", "a.yaml"]).cfg_file == "a.yaml"


def test_help_is_printed_with_the_default_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parse_options(["--help"])
    assert raised.value.code == 0
    assert DEFAULT_CFG in capsys.readouterr().out.replace("\n", "")
