"""The stock image's catalogue is generated: it must be that of this checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pet.config import known_scripts, load_config, resolve_script
from pet.config.catalogue import FILE, scan, stock, write
from pet.config.check import check_text

ROOT = Path(__file__).parents[3]


def files_in(folder: str, pattern: str = "*") -> list[str]:
    """Files at any depth, as paths below the root."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern) if path.is_file())


CFGS, SAMPLES = files_in("cfgs", "*.yaml"), files_in("crds/samples", "*.yaml")


def test_the_catalogue_is_that_of_the_checkout() -> None:
    assert stock() == scan(ROOT), "run `python -m pet.config.catalogue` in the root"


def test_the_catalogue_lists_scripts_by_their_place_below_the_root() -> None:
    assert "tools/tasks/cls/train_net.py" in known_scripts()
    assert not [script for script in known_scripts() if not script.startswith("tools/")]


def test_the_catalogue_of_a_checkout_is_written_with_its_scripts_and_configurations(tmp_path: Path) -> None:
    (tmp_path / "trainer/tools/tasks/face").mkdir(parents=True)
    (tmp_path / "trainer/tools/tasks/face/train_net.py").touch()
    (tmp_path / "trainer/tools/train_net_all.py").touch()
    (tmp_path / "cfgs/tasks/face").mkdir(parents=True)
    (tmp_path / "cfgs/tasks/face/a.yaml").write_text("MISC: {SEED: 1}\n")
    write(tmp_path, tmp_path / FILE)
    assert json.loads((tmp_path / FILE).read_text()) == {
        "scripts": ["tools/tasks/face/train_net.py"],
        "cfgs": {"cfgs/tasks/face/a.yaml": "MISC: {SEED: 1}\n"},
    }


@pytest.mark.parametrize("cfg", CFGS)
@pytest.mark.parametrize("world_size", [1, 2, 8])
def test_every_configuration_loads_for_its_script_on_the_usual_numbers_of_ranks(cfg: str, world_size: int) -> None:
    script = resolve_script(cfg, None, known_scripts())
    loaded = load_config(script.name, cfg_file=str(ROOT / cfg), world_size=world_size)
    assert loaded.TRAIN.DATASETS
    assert loaded.TEST.DATASETS


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_job_is_valid_without_a_warning(sample: str) -> None:
    for review in check_text((ROOT / sample).read_text(encoding="utf-8"), sample):
        assert review.problems == ()
        assert review.warnings == ()
        assert review.script is not None
        assert review.cfg is not None


def test_no_file_of_cfgs_or_samples_is_overlooked_here() -> None:
    assert files_in("cfgs") == CFGS
    assert files_in("crds/samples") == SAMPLES
    assert len(CFGS) > 1
    assert SAMPLES


def test_the_first_sample_embeds_the_configuration_that_it_names() -> None:
    [review] = check_text((ROOT / "crds/samples/fashion-mnist.yaml").read_text(encoding="utf-8"), "fashion-mnist.yaml")
    assert review.job is not None
    assert review.job.spec.config is not None
    cfg = "cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml"
    assert review.job.spec.cfg == cfg
    embedded = load_config("cls", text=review.job.spec.config)
    assert dict(embedded.leaves()) == dict(load_config("cls", text=(ROOT / cfg).read_text(encoding="utf-8")).leaves())
