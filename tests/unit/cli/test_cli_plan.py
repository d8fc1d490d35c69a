"""`pet plan` as a user runs it: every fault of a job at once, each with its field and its remedy."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from harness.commands import PET, Answer, pet, python
from harness.jobs import cpu_manifest
from harness.launcher import ROOT

from pet import __version__

SCRIPT = "tools/tasks/cls/train_net.py"
Job = dict[str, Any]


def job(name: str = "good") -> Job:
    """A valid job on two CPU ranks."""
    config = {
        "MISC": {"DEVICE": "cpu"},
        "TRAIN": {"DATASETS": ["fashion_mnist_train"], "BATCH_SIZE": 8},
        "SOLVER": {"SCHEDULER": {"TOTAL_ITERS": 100, "STEPS": [50], "WARM_UP_ITERS": 10}},
    }
    return cpu_manifest(name, cfg="cfgs/tasks/cls/mine.yaml", config=config)


def unknown_key(job: Job) -> None:
    job["spec"]["config"]["SOLVER"]["OPTIMIZR"] = {"BASE_LR": 0.1}


def wrong_type(job: Job) -> None:
    job["spec"]["config"]["SOLVER"]["SNAPSHOT_ITER"] = "often"


def batch_that_does_not_divide(job: Job) -> None:
    job["spec"]["config"]["TRAIN"]["BATCH_SIZE"] = 7


def missing_script(job: Job) -> None:
    job["spec"]["cfg"] = "cfgs/tasks/clss/mine.yaml"


def reserved_name(job: Job) -> None:
    environment = [{"name": "NCCL_DEBUG", "value": "INFO"}, {"name": "WORLD_SIZE", "value": "2"}]
    job["spec"]["template"] = {"spec": {"containers": [{"name": "trainer", "env": environment}]}}


def name_too_long(job: Job) -> None:
    job["metadata"]["name"] = "n" * 51


class Fault(NamedTuple):
    """Something wrong with a job, and what has to be said about it."""

    break_it: Callable[[Job], None]
    field: str
    wrong: str
    remedy: str


# In the order in which they are reported.
FAULTS = [
    Fault(name_too_long, "metadata.name", f"'{'n' * 51}' has 51 characters", "at most 50 are allowed"),
    Fault(
        reserved_name,
        "spec.template.spec.containers[0].env[1].name",
        "WORLD_SIZE is reserved",
        "choose a name other than RANK, LOCAL_RANK, WORLD_SIZE, PETJOB_*, PET_*, MASTER_*",
    ),
    Fault(
        missing_script,
        "spec.cfg",
        "needs tools/tasks/clss/train_net.py, which does not exist",
        f"did you mean {SCRIPT}?; available: {SCRIPT}",
    ),
    Fault(unknown_key, "SOLVER.OPTIMIZR", "no such key", "did you mean SOLVER.OPTIMIZER?"),
    Fault(wrong_type, "SOLVER.SNAPSHOT_ITER", "'often' is not a whole number", "the default is 10000"),
    Fault(batch_that_does_not_divide, "TRAIN.BATCH_SIZE", "7 is for all ranks together", "give 6 or 8"),
]
CASES = [
    *(pytest.param([fault], id=fault.break_it.__name__) for fault in FAULTS),
    pytest.param(FAULTS, id="all_at_once"),
]


def plan(*jobs: Job, options: tuple[str, ...] = ()) -> Answer:
    """`pet plan` of these jobs, from stdin."""
    return pet("plan", "-f", "-", *options, stdin=yaml.safe_dump_all(jobs))


def results(answer: Answer) -> list[dict[str, Any]]:
    """What `-o json` printed: one object on each line."""
    return [json.loads(line) for line in answer.out.splitlines()]


def broken(faults: list[Fault]) -> Job:
    result = copy.deepcopy(job())
    for fault in faults:
        fault.break_it(result)
    return result


@pytest.mark.parametrize("faults", CASES)
def test_an_invalid_job_is_refused_with_all_that_is_wrong_as_text(faults: list[Fault]) -> None:
    answer = plan(broken(faults))
    assert answer.code == 78
    assert answer.err == ""
    title, *lines = answer.out.splitlines()
    assert title.endswith(f": invalid, {len(faults)} problem{'s' if len(faults) > 1 else ''}")
    assert len(lines) == len(faults)
    for line, fault in zip(lines, faults, strict=True):
        assert line.startswith(f"  error    {fault.field}: ")
        assert fault.wrong in line
        assert fault.remedy in line


@pytest.mark.parametrize("faults", CASES)
def test_an_invalid_job_is_refused_with_all_that_is_wrong_as_json(faults: list[Fault]) -> None:
    answer = plan(broken(faults), options=("-o", "json"))
    assert answer.code == 78
    [result] = results(answer)
    assert result["valid"] is False
    assert [problem["field"] for problem in result["problems"]] == [fault.field for fault in faults]
    for problem, fault in zip(result["problems"], faults, strict=True):
        assert set(problem) == {"field", "message"}
        assert fault.wrong in problem["message"]
        assert fault.remedy in problem["message"]


@pytest.mark.parametrize("options", [(), ("-o", "json")])
def test_the_installed_program_answers_the_same(options: tuple[str, ...]) -> None:
    jobs = [job(), broken(FAULTS)]
    assert python(*PET, "plan", "-f", "-", *options, stdin=yaml.safe_dump_all(jobs)) == plan(*jobs, options=options)


def test_a_script_of_pets_that_is_not_built_is_refused_with_those_that_are() -> None:
    unbuilt = job()
    unbuilt["spec"]["cfg"] = "cfgs/tasks/face/mine.yaml"
    unbuilt["spec"]["config"]["MODEL"] = {"MARGIN": 0.5}
    [result] = results(plan(unbuilt, options=("-o", "json")))
    assert result["script"] is None
    assert [problem["field"] for problem in result["problems"]] == ["spec.cfg"]
    assert f"belongs to Pet but is not built yet; available: {SCRIPT}" in result["problems"][0]["message"]
    assert [(warning["reason"], warning["field"]) for warning in result["warnings"]] == [
        ("KeyNotChecked", "MODEL.MARGIN")
    ]


def test_a_valid_job_is_answered_in_json_with_what_would_run() -> None:
    answer = plan(job(), options=("-o", "json"))
    assert (answer.code, answer.err) == (0, "")
    [result] = results(answer)
    assert [manifest["kind"] for manifest in result.pop("objects")] == [
        "Service", "ConfigMap", "PersistentVolumeClaim", "Pod",
    ]  # fmt: skip
    assert result == {
        "name": "good",
        "valid": True,
        "script": SCRIPT,
        "worldSize": 2,
        "nodes": 1,
        "ranksPerNode": 2,
        "problems": [],
        "warnings": [],
    }


def test_what_could_not_be_read_is_null_in_json() -> None:
    unclear = job()
    unclear["spec"] |= {"nodes": "two", "procsPerNode": 3}
    [result] = results(plan(unclear, options=("-o", "json")))
    assert (result["nodes"], result["worldSize"], result["ranksPerNode"]) == (None, None, 3)


def test_a_valid_job_is_answered_in_text_with_what_would_run() -> None:
    answer = plan(job())
    assert (answer.code, answer.err) == (0, "")
    [result] = results(plan(job(), options=("-o", "json")))
    config_map = result["objects"][1]["metadata"]["name"]
    assert answer.out.splitlines() == [
        "good: valid",
        f"  script        {SCRIPT}",
        "  config        cfgs/tasks/cls/mine.yaml, embedded",
        "  ranks         2 = 1 node × 2 CPU ranks",
        "  batch         8 = 4 per rank",
        "  length        100 steps",
        "  checkpoints   new claim good-checkpoints of 1Gi, folder good",
        "  objects       Service good",
        f"                ConfigMap {config_map}, mounted at /etc/pet as cfgs/tasks/cls/mine.yaml",
        "                PersistentVolumeClaim good-checkpoints, 1Gi ReadWriteOnce, kept when the job is deleted",
        f"                Pod good-1-0, image pet-trainer:{__version__}",
    ]


def test_a_warning_does_not_make_a_job_invalid() -> None:
    volatile = job()
    del volatile["spec"]["checkpoint"]
    answer = plan(volatile)
    assert answer.code == 0
    assert "  checkpoints   no volume" in answer.out
    assert "  warning  spec.checkpoint.volume: is absent" in answer.out
    assert answer.out.rstrip().endswith("(NotPersistent)")


def test_problems_and_warnings_are_the_same_as_text_and_as_json() -> None:
    both = broken(FAULTS[:1])
    del both["spec"]["checkpoint"]
    both["spec"]["config"]["SOLVER"]["SCHEDULER"] |= {"WARM_UP_ITERS": 200, "LR_POW": 0.5}
    both["spec"]["config"]["TRAIN"]["DATASETS"] = ["fashion_mnist_test"]
    [result] = results(plan(both, options=("-o", "json")))
    assert [problem["field"] for problem in result["problems"]] == ["metadata.name"]
    assert [(warning["reason"], warning["field"]) for warning in result["warnings"]] == [
        ("TrainsOnTestData", "TRAIN.DATASETS"),
        ("WarmUpTooLong", "SOLVER.SCHEDULER.WARM_UP_ITERS"),
        ("NoEffect", "SOLVER.SCHEDULER.LR_POW"),
        ("NotPersistent", "spec.checkpoint.volume"),
    ]
    title, *lines = plan(both).out.splitlines()
    assert title.endswith(": invalid, 1 problem")
    assert lines == [
        *(f"  error    {problem['field']}: {problem['message']}" for problem in result["problems"]),
        *(
            f"  warning  {warning['field']}: {warning['message']} ({warning['reason']})"
            for warning in result["warnings"]
        ),
    ]


def test_a_configuration_that_is_not_embedded_is_the_stock_one() -> None:
    stock = job()
    del stock["spec"]["config"]
    stock["spec"]["cfg"] = "cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml"
    answer = plan(stock)
    assert answer.code == 0
    assert "  config        cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml\n" in answer.out


def test_every_job_of_a_file_is_answered_and_one_bad_one_decides_the_exit_code() -> None:
    answer = plan(job("one"), broken(FAULTS[3:4]), {"kind": "Pod", "apiVersion": "v1"}, options=("-o", "json"))
    assert answer.code == 78
    assert [(result["name"], result["valid"]) for result in results(answer)] == [
        ("one", True), ("good", False), (None, False),
    ]  # fmt: skip
    assert results(answer)[2]["problems"][0]["field"] == "kind"


def test_several_files_are_answered_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(job(name)))
    answer = pet("plan", "-f", "two.yaml", "--filename", "one.yaml")
    assert answer.code == 0
    assert [line for line in answer.out.splitlines() if line.endswith(": valid")] == ["two: valid", "one: valid"]


def test_the_sample_is_valid() -> None:
    assert pet("plan", "-f", str(ROOT / "crds/samples/fashion-mnist.yaml")).code == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no document; it must hold a PetTrainingJob"),
        ("a: [", "is not valid YAML: "),
        ("3", "is not a manifest"),
    ],
)
def test_a_file_without_a_job_is_invalid(content: str, message: str) -> None:
    answer = pet("plan", "-f", "-", stdin=content)
    assert answer.code == 78
    assert answer.out.startswith("(no name): invalid, 1 problem\n  error    ")
    assert message in answer.out


def test_a_file_that_cannot_be_read_is_a_usage_error_before_anything_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(job()))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "folder.yaml").mkdir()
    for name, reason in (("none.yaml", "No such file"), ("binary.yaml", "can't decode"), ("folder.yaml", "directory")):
        answer = pet("plan", "-f", "good.yaml", "-f", name)
        assert (answer.code, answer.out) == (2, "")
        assert f"{name} cannot be read: " in answer.err
        assert reason in answer.err


def test_stdin_is_read_as_a_file_is_whatever_the_terminal_speaks() -> None:
    umlaut = job()
    umlaut["spec"]["cfg"] = "cfgs/tasks/cls/ü.yaml"
    text = yaml.safe_dump(umlaut, allow_unicode=True)
    answer = python(*PET, "plan", "-f", "-", stdin=text, PYTHONIOENCODING="ascii")
    assert (answer.code, answer.err) == (0, "")
    assert "  config        cfgs/tasks/cls/\\xfc.yaml, embedded\n" in answer.out


def test_without_a_stdin_it_is_not_read() -> None:
    program = "import sys\nfrom pet_operator.cli.app import main\nsys.stdin = None\nmain()"  # as under a closed one
    answer = python("-c", program, "plan", "-f", "-")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no stdin: give a file" in answer.err


def test_what_no_terminal_can_show_is_escaped_and_json_stays_json() -> None:
    name = "\ue000\x1b[31m"
    strange = job()
    strange["spec"][name] = 1
    text = json.dumps(strange)  # JSON is YAML
    answer = python(*PET, "plan", "-f", "-", stdin=text, PYTHONIOENCODING="ascii")
    assert answer.code == 78
    assert answer.out.splitlines()[1].startswith("  error    spec.\\ue000\\x1b[31m: no such field")
    answer = python(*PET, "plan", "-f", "-", "-o", "json", stdin=text, PYTHONIOENCODING="ascii")
    assert results(answer)[0]["problems"][0]["field"] == f"spec.{name}"


def test_a_terminal_without_the_sign_for_times_still_gets_its_answer() -> None:
    answer = python(*PET, "plan", "-f", "-", stdin=yaml.safe_dump(job()), PYTHONIOENCODING="ascii")
    assert answer.code == 0
    assert "2 = 1 node \\xd7 2 CPU ranks" in answer.out
